"""Cuts recordings into clips, decodes them in batches, joins the text."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from itertools import pairwise
from threading import Lock
from typing import TYPE_CHECKING

from sensory_pipeline.core.errors import EngineError, Terminal
from sensory_pipeline.core.process_request import TranscriptionSettings
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.engines.activity_log import ActivityLog
from sensory_pipeline.engines.base import TranscribeJob
from sensory_pipeline.engines.halving import halving
from sensory_pipeline.engines.library_errors import FAULTS
from sensory_pipeline.engines.stt.clip import Clip, DecodedSegment
from sensory_pipeline.engines.stt.clip_boundaries import speech_clips, with_margins
from sensory_pipeline.engines.stt.clip_queue import AHEAD, ClipQueue
from sensory_pipeline.engines.stt.encoder_output import Prepared, on_a_cpu
from sensory_pipeline.engines.stt.prompt_limit import too_long
from sensory_pipeline.engines.stt.recording_in_progress import OpenRecording
from sensory_pipeline.engines.stt.sequential_decoding import WINDOW_MS, decode_alone, first_clips, language_of
from sensory_pipeline.engines.stt.whisper_batches import decode, features_of

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

_DETECTION_CLIPS = 4  # most clips from which a language is detected
_DETECTION_MS = 10_000  # speech that is enough for it
_AHEAD = 8  # least recordings whose speech is looked for before they are needed

TranscribeResult = tuple[str, "Transcript | Terminal"]
PreparedClip = tuple[Clip, Future[Prepared]]
Speech = list[tuple[Span, tuple[Span, ...]]]
"""For each clip, the part that is decoded, and the speech in it."""


class WhisperPipeline:
    """Transcribes one stream of recordings.

    Args:
        model: Whisper, loaded.
        size: Returns how many clips make a batch; it may change.
        sequential: Whether clips are decoded one after the other instead.
        fault: What an error means for the given number of clips it came from; raises it again if it is not about them.
        activity: Where to note what is done.
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
        # on a GPU one clip at a time, since a batch may have been halved to less than a clip for each worker
        self._alone_in_memory = nullcontext() if on_a_cpu(model) else Lock()
        self._queue = ClipQueue()
        self._open: dict[str, OpenRecording] = {}
        self._languages: dict[str, str] = {}
        self._ready: deque[TranscribeResult] = deque()
        self._upcoming: tuple[list[Clip], list[Future[Prepared]]] | None = None

    def transcripts(self, jobs: Iterable[TranscribeJob]) -> Iterator[TranscribeResult]:
        """One result for each job, in any order. Only a few batches of jobs are taken ahead."""
        # for what the host does while the device decodes: it looks for speech, and computes features for a GPU
        with ThreadPoolExecutor(max_workers=self._model.model.num_workers) as pool, ExitStack() as ends:
            ends.callback(self._workers.shutdown, cancel_futures=True)
            ends.callback(pool.shutdown, cancel_futures=True)
            for job, spoken in self._ahead(self._accepted(jobs), pool):
                self._take_up(job, spoken)
                while self._queue.clips >= self._size() * AHEAD:
                    self._decode_next(pool)
                yield from self._given()
            while self._upcoming or self._queue.clips:
                self._decode_next(pool)
                yield from self._given()
            yield from self._given()

    def _accepted(self, jobs: Iterable[TranscribeJob]) -> Iterator[TranscribeJob]:
        for job in jobs:
            if refused := too_long(self._model, job.settings):
                self._ready.append((job.key, refused))
            else:
                yield job

    def _ahead(
        self, jobs: Iterable[TranscribeJob], pool: ThreadPoolExecutor
    ) -> Iterator[tuple[TranscribeJob, Future[Speech]]]:
        """Each job with its speech, looked for before it is needed: for a GPU, in as much sound as a batch holds."""
        waiting: deque[tuple[TranscribeJob, Future[Speech]]] = deque()
        ahead_ms = 0
        for job in jobs:
            waiting.append((job, pool.submit(self._spoken, job)))
            ahead_ms += job.pcm.duration_ms
            enough_ms = 0 if on_a_cpu(self._model) else self._size() * WINDOW_MS
            while len(waiting) > _AHEAD and ahead_ms > enough_ms:
                ahead_ms -= waiting[0][0].pcm.duration_ms
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()

    def _spoken(self, job: TranscribeJob) -> Speech:
        with self._activity.noting("host", "looking for speech"):
            longest_ms = round(job.settings.clip_s * 1000)
            speech = speech_clips(job.pcm.mono(), longest_ms)
            return list(zip(with_margins(speech, job.pcm.span, longest_ms), speech, strict=True))

    def _given(self) -> Iterator[TranscribeResult]:
        while self._ready:
            yield self._ready.popleft()

    def _take_up(self, job: TranscribeJob, spoken: Future[Speech]) -> None:
        try:
            speech = spoken.result()
        except FAULTS as error:
            self._ready.append((job.key, self._fault(error, 1)))
            return
        clips = [
            Clip(recording=job.key, pcm=job.pcm, span=span, speech=spans, settings=job.settings)
            for span, spans in speech
        ]
        if not clips:
            self._ready.append((job.key, Transcript(language=None, segments=())))
            return
        self._open[job.key] = OpenRecording(job=job, clips=list(clips))
        if not self._model.model.is_multilingual:
            self._languages[job.key] = "en"
        elif job.settings.language != "auto":
            self._languages[job.key] = job.settings.language
        if self._in_sequence(job.settings):
            self._decode_in_sequence(job.key, clips)
        elif job.key in self._languages:
            self._queue.add(job.key, [], clips)
        else:
            detecting = list(first_clips(clips, _DETECTION_MS))[: min(_DETECTION_CLIPS, self._size())]
            self._queue.add(job.key, detecting, clips[len(detecting) :])

    def _in_sequence(self, settings: TranscriptionSettings) -> bool:
        """Whether clips are decoded one after the other: by choice, or since batches cannot do what settings ask."""
        beyond_batches = settings.temperatures[0] > 0 or settings.hallucination_silence_s is not None
        return self._sequential or beyond_batches

    def _decode_in_sequence(self, key: str, clips: Sequence[Clip]) -> None:
        try:
            if key not in self._languages:
                with self._activity.noting("device", "whisper, language"):
                    self._languages[key] = language_of(self._model, clips)
        except FAULTS as error:
            self._fault(error, 1)  # raises if the error is not about the clips
        # if the language is unknown, it is detected from the first clip that can be decoded
        results = self._workers.map(self._alone, clips) if key in self._languages else map(self._alone, clips)
        for clip, found in zip(clips, results, strict=True):
            self._settle(clip, found)

    def _decode_next(self, pool: ThreadPoolExecutor) -> None:
        """Decode a batch, while the next one is prepared."""
        batch = self._upcoming or self._prepared(pool)
        self._upcoming = self._prepared(pool)
        if batch is None:
            return
        clips, ready = batch
        for clip, found in zip(clips, self._together(clips, ready), strict=True):
            # after the whole batch, since the language may be detected from its other clips
            self._settle(clip, self._alone(clip) if isinstance(found, EngineError) else found)
        for recording in dict.fromkeys(clip.recording for clip in clips):
            self._queue.language_known(recording)

    def _prepared(self, pool: ThreadPoolExecutor) -> tuple[list[Clip], list[Future[Prepared]]] | None:
        clips = self._queue.batch(self._size())
        threads = self._workers if on_a_cpu(self._model) else pool
        return (clips, [threads.submit(self._prepare, clip) for clip in clips]) if clips else None

    def _prepare(self, clip: Clip) -> Prepared:
        with self._activity.noting("host", "features"):
            window = features_of(self._model, clip)
        if not on_a_cpu(self._model):
            return window
        with self._activity.noting("device", "whisper"):
            return self._model.encode(window)

    def _together(
        self, clips: Sequence[Clip], ready: Sequence[Future[Prepared]]
    ) -> list[list[DecodedSegment] | EngineError]:
        """The segment of each clip, or the error it fails with."""

        def compute(part: Sequence[PreparedClip]) -> list[DecodedSegment]:
            known = [prepared.result() for _, prepared in part]
            with self._activity.noting("device", "whisper"):
                return decode(self._model, [clip for clip, _ in part], known, self._languages, self._workers)

        def fault(error: Exception, part: Sequence[PreparedClip]) -> EngineError:
            return self._fault(error, len(part))

        found = halving(list(zip(clips, ready, strict=True)), compute, fault, _between_recordings)
        return list(self._workers.map(self._surer, clips, found))

    def _surer(self, clip: Clip, heard: DecodedSegment | EngineError) -> list[DecodedSegment] | EngineError:
        """The clip decoded at higher temperatures, if needed. If that fails, the first result stays."""
        if isinstance(heard, EngineError):
            return heard
        if not heard.needs_fallback or len(clip.settings.temperatures) == 1:
            return [heard]
        again = self._alone(clip)
        return [heard] if isinstance(again, EngineError) else again

    def _alone(self, clip: Clip) -> list[DecodedSegment] | EngineError:
        try:
            with self._alone_in_memory, self._activity.noting("device", "whisper, alone"):
                if clip.recording not in self._languages:
                    self._languages[clip.recording] = language_of(self._model, [clip])
                return decode_alone(self._model, clip, self._languages[clip.recording])
        except FAULTS as error:
            return self._fault(error, 1)

    def _settle(self, clip: Clip, found: list[DecodedSegment] | EngineError) -> None:
        """Keep the result of a clip, or have its halves decoded if it skips speech."""
        recording = self._open[clip.recording]
        if parts := recording.take(clip, found):
            if self._in_sequence(clip.settings):
                self._decode_in_sequence(clip.recording, parts)
            else:
                self._queue.add(clip.recording, [], parts)
        elif recording.complete:
            del self._open[clip.recording]
            self._ready.append((clip.recording, recording.transcript(self._languages.pop(clip.recording, None))))


def _between_recordings(batch: Sequence[PreparedClip]) -> tuple[Sequence[PreparedClip], Sequence[PreparedClip]]:
    """About halves of a batch, cut between recordings if it has several.

    The language of a recording is detected from all its clips, so they stay together.
    """
    borders = [i for i, ((before, _), (clip, _)) in enumerate(pairwise(batch), 1) if before.recording != clip.recording]
    middle = len(batch) // 2
    border = min(borders, key=lambda border: abs(border - middle), default=middle)
    return batch[:border], batch[border:]
