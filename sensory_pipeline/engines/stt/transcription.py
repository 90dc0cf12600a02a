"""One stream of recordings through a loaded Whisper: cut into clips, decoded in batches, put together again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from sensory_pipeline.core.errors import EngineError, Terminal
from sensory_pipeline.core.requests import TranscriptionSettings
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.core.transcripts import Segment, Transcript, Word
from sensory_pipeline.engines.activity import ActivityLog
from sensory_pipeline.engines.base import TranscribeJob
from sensory_pipeline.engines.faults import FAULTS
from sensory_pipeline.engines.stt.clip_stream import AHEAD, ClipStream
from sensory_pipeline.engines.stt.clips import speech_clips
from sensory_pipeline.engines.stt.encoder_output import Prepared, on_a_cpu
from sensory_pipeline.engines.stt.hallucinations import without_loops
from sensory_pipeline.engines.stt.whisper_batches import Clip, Heard, decode, features_of
from sensory_pipeline.engines.stt.whisper_sequence import decode_alone, first_clips, language_of

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

_TELLING = 4  # clips by which a language is told at most,
_TOLD_MS = 10_000  # and the speech in them that is enough
_AHEAD = 8  # recordings whose speech is looked for before they are needed

Answer = tuple[str, "Transcript | Terminal"]


@dataclass(slots=True, kw_only=True)
class _Open:
    """A recording of which some clips are not answered yet."""

    job: TranscribeJob
    clips: Sequence[Clip]
    answers: dict[Clip, list[Heard] | EngineError] = field(default_factory=dict)


class Transcription:
    """size: of a batch, in clips, as it is at the time; sequential: one after the other instead.

    fault: what an error says about the clips, so many, that it came from; raises it anew where it is not
    about them.
    """

    def __init__(
        self,
        model: WhisperModel,
        *,
        size: Callable[[], int],
        sequential: bool,
        fault: Callable[[Exception, int], EngineError],
        activity: ActivityLog,
    ) -> None:
        self._model = model
        self._size = size
        self._sequential = sequential
        self._fault = fault
        self._activity = activity
        self._workers = ThreadPoolExecutor(max_workers=model.model.num_workers)
        self._stream = ClipStream()
        self._open: dict[str, _Open] = {}
        self._languages: dict[str, str] = {}
        self._ready: deque[Answer] = deque()
        self._upcoming: tuple[list[Clip], list[Future[Prepared]]] | None = None

    def answers(self, jobs: Iterable[TranscribeJob]) -> Iterator[Answer]:
        """One a job, in any order. No more than a few batches of jobs are pulled ahead."""
        # one thread looks for speech, and computes features for a GPU, while the device decodes
        with ThreadPoolExecutor(max_workers=1) as pool, ExitStack() as ends:
            ends.callback(self._workers.shutdown, cancel_futures=True)
            for job, spoken in self._ahead(jobs, pool):
                self._take_up(job, spoken)
                while self._stream.clips >= self._size() * AHEAD:
                    self._decode_next(pool)
                yield from self._given()
            while self._upcoming or self._stream.clips:
                self._decode_next(pool)
                yield from self._given()

    def _ahead(
        self, jobs: Iterable[TranscribeJob], pool: ThreadPoolExecutor
    ) -> Iterator[tuple[TranscribeJob, Future[tuple[Span, ...]]]]:
        """Each with its speech, looked for before it is needed."""
        waiting: deque[tuple[TranscribeJob, Future[tuple[Span, ...]]]] = deque()
        for job in jobs:
            waiting.append((job, pool.submit(self._spoken, job)))
            if len(waiting) > _AHEAD:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()

    def _spoken(self, job: TranscribeJob) -> tuple[Span, ...]:
        with self._activity.noting("host", "looking for speech"):
            return speech_clips(job.pcm.mono(), round(job.settings.clip_s * 1000))

    def _given(self) -> Iterator[Answer]:
        while self._ready:
            yield self._ready.popleft()

    def _take_up(self, job: TranscribeJob, spoken: Future[tuple[Span, ...]]) -> None:
        try:
            spans = spoken.result()
        except FAULTS as error:
            self._ready.append((job.key, self._fault(error, 1)))
            return
        clips = [Clip(recording=job.key, pcm=job.pcm, span=span, settings=job.settings) for span in spans]
        if not clips:
            self._ready.append((job.key, Transcript(language=None, segments=())))
            return
        self._open[job.key] = _Open(job=job, clips=clips)
        if not self._model.model.is_multilingual:
            self._languages[job.key] = "en"
        elif job.settings.language != "auto":
            self._languages[job.key] = job.settings.language
        if self._sequential or _needs_sequence(job.settings):
            self._decode_in_sequence(job.key, clips)
        elif job.key in self._languages:
            self._stream.add(job.key, [], clips)
        else:
            telling = list(first_clips(clips, _TOLD_MS))[: min(_TELLING, self._size())]
            self._stream.add(job.key, telling, clips[len(telling) :])

    def _decode_in_sequence(self, key: str, clips: Sequence[Clip]) -> None:
        try:
            if key not in self._languages:
                with self._activity.noting("device", "whisper, language"):
                    self._languages[key] = language_of(self._model, clips)
        except FAULTS as error:
            self._fault(error, 1)  # where it is about them, the first clip that can be decoded tells
        # the first that can be decoded tells the language, where that is not known
        answers = self._workers.map(self._alone, clips) if key in self._languages else map(self._alone, clips)
        for clip, found in zip(clips, answers, strict=True):
            self._settle(clip, found)

    def _decode_next(self, pool: ThreadPoolExecutor) -> None:
        """A batch, while the one after it is prepared."""
        batch = self._upcoming or self._prepared(pool)
        self._upcoming = self._prepared(pool)
        if batch is None:
            return
        clips, ready = batch
        for clip, found in zip(clips, self._together(clips, ready), strict=True):
            # after the whole batch, in which others may have told the language
            self._settle(clip, self._alone(clip) if isinstance(found, EngineError) else found)
        for recording in dict.fromkeys(clip.recording for clip in clips):
            self._stream.told(recording)

    def _prepared(self, pool: ThreadPoolExecutor) -> tuple[list[Clip], list[Future[Prepared]]] | None:
        clips = self._stream.batch(self._size())
        threads = self._workers if on_a_cpu(self._model) else pool
        return (clips, [threads.submit(self._prepare, clip) for clip in clips]) if clips else None

    def _prepare(self, clip: Clip) -> Prepared:
        with self._activity.noting("host", "features"):
            window = features_of(self._model, clip)
        if not on_a_cpu(self._model):
            return window
        with self._activity.noting("device", "whisper"):
            return self._model.encode(window)

    def _together(self, clips: Sequence[Clip], ready: Sequence[Future[Prepared]]) -> list[list[Heard] | EngineError]:
        """Where a batch fails, halves of it are tried, so that what a clip does befalls no other."""
        try:
            known = [clip.result() for clip in ready]
            with self._activity.noting("device", "whisper"):
                found = decode(self._model, clips, known, self._languages, self._workers)
        except FAULTS as error:
            fault = self._fault(error, len(clips))
        else:
            return list(self._workers.map(self._surer, clips, found))
        # out of the handler, so that the error no longer holds what filled the memory
        if len(clips) == 1:
            return [fault]
        middle = _between_recordings(clips)
        return self._together(clips[:middle], ready[:middle]) + self._together(clips[middle:], ready[middle:])

    def _surer(self, clip: Clip, heard: Heard) -> list[Heard]:
        """What is heard at higher temperatures, where it is doubtful; what was heard before where that fails."""
        if not heard.doubtful or len(clip.settings.temperatures) == 1:
            return [heard]
        again = self._alone(clip)
        return [heard] if isinstance(again, EngineError) else again

    def _alone(self, clip: Clip) -> list[Heard] | EngineError:
        try:
            with self._activity.noting("device", "whisper, alone"):
                if clip.recording not in self._languages:
                    self._languages[clip.recording] = language_of(self._model, [clip])
                return decode_alone(self._model, clip, self._languages[clip.recording])
        except FAULTS as error:
            return self._fault(error, 1)

    def _settle(self, clip: Clip, found: list[Heard] | EngineError) -> None:
        recording = self._open[clip.recording]
        recording.answers[clip] = found
        if len(recording.answers) == len(recording.clips):
            del self._open[clip.recording]
            self._ready.append((clip.recording, _answer(recording, self._languages.pop(clip.recording, None))))


def _answer(recording: _Open, language: str | None) -> Transcript | EngineError:
    """What was heard, with a gap for each clip that failed; an error where that are all of them."""
    failed = {clip: found for clip, found in recording.answers.items() if isinstance(found, EngineError)}
    if len(failed) == len(recording.clips):
        return next(iter(failed.values()))
    segments = tuple(_segments(recording))
    return Transcript(
        language=language if segments else None,
        segments=segments,
        gaps=tuple(clip.span for clip in recording.clips if clip in failed),
    )


def _needs_sequence(settings: TranscriptionSettings) -> bool:
    return settings.temperatures[0] > 0 or settings.hallucination_silence_s is not None


def _between_recordings(clips: Sequence[Clip]) -> int:
    """Where a batch is halved: between recordings if there are several, since one's language is told together."""
    middle = len(clips) // 2
    borders = [i for i in range(1, len(clips)) if clips[i].recording != clips[i - 1].recording]
    return min(borders, key=lambda border: abs(border - middle), default=middle)


def _segments(recording: _Open) -> Iterator[Segment]:
    """What is left without loops. Words are in order of their starts, inside the recording."""
    answers = ((clip, recording.answers[clip]) for clip in recording.clips)
    found = [(clip, heard) for clip, answer in answers if not isinstance(answer, EngineError) for heard in answer]
    texts = [word.word for _, heard in found for word in heard.words]
    settings = recording.job.settings
    kept = set(
        range(len(texts)) if settings.max_repeats is None else without_loops(texts, max_repeats=settings.max_repeats)
    )
    indices = count()
    earliest_ms = 0
    for clip, heard in found:
        said = [word for word in heard.words if next(indices) in kept]
        words = []
        for word in said:
            span = Span.from_seconds(clip.span.start_s + word.start, clip.span.start_s + word.end)
            span = span.clip(recording.job.pcm.span)
            start_ms = max(span.start_ms, earliest_ms)
            span = Span(start_ms=start_ms, end_ms=max(span.end_ms, start_ms))
            if text := word.word.strip():
                words.append(Word(text=text, span=span, probability=float(word.probability)))
                earliest_ms = start_ms
        if words:
            whole = heard.text if len(said) == len(heard.words) else "".join(word.word for word in said)
            yield Segment(
                span=cover(word.span for word in words),
                text=whole.strip(),
                words=tuple(words),
                language=heard.language if settings.multilingual else None,
            )
