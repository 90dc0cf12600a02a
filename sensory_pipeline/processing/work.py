"""What one engine process does for each stage: jobs in, JSON results or errors out.

Everything here runs where the engines live. A recording that cannot be worked on answers with its
error and leaves the stream to the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from sensory_pipeline.audio.decode import decode, read_pcm, write_pcm
from sensory_pipeline.audio.pcm import Pcm
from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.emotions import Emotion, Emotions
from sensory_pipeline.core.errors import Terminal, Transient
from sensory_pipeline.core.requests import EmotionLevel, ProcessRequest
from sensory_pipeline.core.results import AudioFacts, reconciled
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.core.windows import emotion_windows, utterance_windows
from sensory_pipeline.engines.base import ClassifyJob, DiarizeJob, TranscribeJob
from sensory_pipeline.engines.selection import Engines
from sensory_pipeline.engines.vad import speech_spans
from sensory_pipeline.storage.local import check_version

T = TypeVar("T")
Answer = tuple[str, "str | Terminal | Transient"]

TRANSCRIPT = TypeAdapter(Transcript)
DIARIZATION = TypeAdapter(Diarization)
EMOTIONS = TypeAdapter(Emotions)
FACTS = TypeAdapter(AudioFacts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the sound of a recording comes from.

    decoded: its place in the cache of decoded audio, filled on a miss; max_duration_s: longer
    recordings are refused.
    """

    uri: str
    version: str
    decoded: Path
    max_duration_s: float

    def open(self) -> Pcm:
        """The canonical audio, from the cache or decoded again."""
        try:
            return read_pcm(self.decoded)
        except FileNotFoundError:
            return self.decode()[0]

    def decode(self) -> tuple[Pcm, AudioFacts]:
        """Decode the source into the cache. Raises AudioError or Transient."""
        path = check_version(self.uri, self.version)
        found = decode(path, max_duration_s=self.max_duration_s)
        # rewritten while it was read: what was decoded may be neither version
        check_version(self.uri, self.version)
        self.decoded.parent.mkdir(parents=True, exist_ok=True)
        write_pcm(self.decoded, found.pcm)
        facts = AudioFacts(
            duration_ms=found.pcm.duration_ms,
            codec=found.codec,
            sample_rate=found.sample_rate,
            channels=found.channels,
        )
        return found.pcm, facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One stage on one recording.

    limit_s: seconds without a sign of life after which its process counts as hung; transcript and
    diarization: JSON of the stages before, for emotions.
    """

    recording_id: str
    source: Source
    request: ProcessRequest
    limit_s: float
    transcript: str | None = None
    diarization: str | None = None


def perform(stage: Stage, engines: Engines, works: Iterator[Work]) -> Iterator[Answer]:
    """Run a stage over a stream of recordings; one answer each, in any order."""
    return _STAGES[stage](engines, works)


def _normalize(_: Engines, works: Iterator[Work]) -> Iterator[Answer]:
    for work in works:
        try:
            facts = work.source.decode()[1]
        except (Terminal, Transient) as error:
            yield work.recording_id, error
        else:
            yield work.recording_id, FACTS.dump_json(facts).decode()


def _transcribe(engines: Engines, works: Iterator[Work]) -> Iterator[Answer]:
    def job(work: Work) -> TranscribeJob:
        return TranscribeJob(key=work.recording_id, pcm=work.source.open(), settings=work.request.tra)

    return _through(engines.transcriber.transcribe, job, works, lambda _, value: TRANSCRIPT.dump_json(value))


def _diarize(engines: Engines, works: Iterator[Work]) -> Iterator[Answer]:
    def job(work: Work) -> DiarizeJob:
        return DiarizeJob(key=work.recording_id, pcm=work.source.open(), settings=work.request.dia)

    return _through(engines.diarizer.diarize, job, works, lambda _, value: DIARIZATION.dump_json(value))


def _classify(engines: Engines, works: Iterator[Work]) -> Iterator[Answer]:
    counts: dict[str, tuple[EmotionLevel, int]] = {}

    def job(work: Work) -> ClassifyJob:
        pcm = work.source.open()
        level = work.request.emo.level
        transcript = TRANSCRIPT.validate_json(work.transcript) if work.transcript else None
        diarization = DIARIZATION.validate_json(work.diarization) if work.diarization else None
        said = reconciled(transcript, diarization)
        # the file level must not depend on which other tasks were asked
        speech = speech_spans(pcm.mono()) if level is EmotionLevel.FILE else ()
        items = emotion_windows(level, said, pcm.span, diarization=diarization, speech=speech)
        counts[work.recording_id] = level, len(items)
        return ClassifyJob(
            key=work.recording_id,
            pcm=pcm,
            windows=items + utterance_windows(said),
            language=transcript.language if transcript else None,
        )

    def render(key: str, value: tuple[Emotion, ...]) -> bytes:
        level, items = counts.pop(key)
        return EMOTIONS.dump_json(Emotions(level=level, items=value[:items], utterances=value[items:]))

    return _through(engines.classifier.classify, job, works, render)


J = TypeVar("J")


def _through(
    engine: Callable[[Iterator[J]], Iterator[tuple[str, T | Terminal]]],
    job: Callable[[Work], J],
    works: Iterator[Work],
    render: Callable[[str, T], bytes],
) -> Iterator[Answer]:
    unopened: deque[Answer] = deque()

    def jobs() -> Iterator[J]:
        for work in works:
            try:
                opened = job(work)
            except (Terminal, Transient) as error:
                unopened.append((work.recording_id, error))
            else:
                yield opened

    for key, value in engine(jobs()):
        while unopened:
            yield unopened.popleft()
        yield key, value if isinstance(value, Terminal) else render(key, value).decode()
    yield from unopened


_STAGES: dict[Stage, Callable[[Engines, Iterator[Work]], Iterator[Answer]]] = {
    Stage.NORMALIZED_AUDIO: _normalize,
    Stage.TRANSCRIPTS: _transcribe,
    Stage.DIARIZATION: _diarize,
    Stage.EMOTIONS: _classify,
}
