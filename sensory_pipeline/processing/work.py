"""What one engine process does for each stage: jobs in, JSON results or errors out.

Everything here runs where the engines live. A recording that cannot be worked on answers with its
error and leaves the stream to the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from sensory_pipeline.audio.crosstalk import find_crosstalk, silence
from sensory_pipeline.audio.decode import decode, read_pcm, write_pcm
from sensory_pipeline.audio.pcm import Pcm
from sensory_pipeline.core.channels import merged_transcript
from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.emotions import Emotion
from sensory_pipeline.core.errors import NoRoom, Terminal, Transient
from sensory_pipeline.core.requests import ProcessRequest
from sensory_pipeline.core.results import AudioFacts
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.engines.base import ClassifyJob, DiarizeJob, TranscribeJob
from sensory_pipeline.engines.selection import Engines
from sensory_pipeline.processing.payloads import DIARIZATION, EMOTIONS, FACTS, TRANSCRIPT
from sensory_pipeline.processing.question import Question
from sensory_pipeline.storage.sources import local_copy

T = TypeVar("T")
Answer = tuple[str, "str | Terminal | Transient"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the sound of a recording comes from.

    decoded: its place in the cache of decoded audio, filled on a miss; max_duration_s: longer
    recordings are refused; stereo: the channels are kept apart, and what leaks from one into another is
    silenced; track: number of the one that is wanted.
    """

    uri: str
    version: str
    decoded: Path
    max_duration_s: float
    stereo: bool
    track: int | None = None

    def open(self) -> Pcm:
        """The canonical audio, from the cache or decoded again."""
        try:
            with _in_the_cache(self.decoded):
                return read_pcm(self.decoded)
        except FileNotFoundError:
            return self.decode()[0]

    def decode(self) -> tuple[Pcm, AudioFacts]:
        """Decode the source into the cache. Raises AudioError or Transient."""
        with local_copy(self.uri, self.version, self.decoded.parent) as path:
            found = decode(
                path,
                channels="keep" if self.stereo else "mono",
                max_duration_s=self.max_duration_s,
                track=self.track,
            )
        remarks = found.remarks
        if self.stereo:
            crosstalk = find_crosstalk(found.pcm)
            silence(found.pcm, crosstalk)
            remarks += crosstalk.remarks
        with _in_the_cache(self.decoded):
            self.decoded.parent.mkdir(parents=True, exist_ok=True)
            write_pcm(self.decoded, found.pcm)
        facts = AudioFacts(
            duration_ms=found.pcm.duration_ms,
            codec=found.codec,
            sample_rate=found.sample_rate,
            channels=found.channels,
            track=found.track,
            damage=found.damage,
            undecoded_ms=None if found.undecoded_s is None else round(found.undecoded_s * 1000),
            remarks=remarks,
        )
        return found.pcm, facts


@contextmanager
def _in_the_cache(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise NoRoom(f"{path.parent}: {error.strerror}; see to its room and permissions, then ingest again") from error


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


def _normalize(engines: Engines, works: Iterator[Work]) -> Iterator[Answer]:
    for work in works:
        try:
            with engines.activity.noting("host", "decoding"):
                facts = work.source.decode()[1]
        except (Terminal, Transient) as error:
            yield work.recording_id, error
        else:
            yield work.recording_id, FACTS.dump_json(facts).decode()


def _transcribe(engines: Engines, works: Iterator[Work]) -> Iterator[Answer]:
    def ask(work: Work) -> Asked[TranscribeJob, Transcript]:
        def join(channels: list[Transcript]) -> bytes:
            return TRANSCRIPT.dump_json(merged_transcript(channels) if work.request.stereo else channels[0])

        return [TranscribeJob(key="", pcm=pcm, settings=work.request.tra) for pcm in _voices(work)], join

    return _through(engines.transcriber.transcribe, works, ask)


def _diarize(engines: Engines, works: Iterator[Work]) -> Iterator[Answer]:
    def ask(work: Work) -> Asked[DiarizeJob, Diarization]:
        job = DiarizeJob(key="", pcm=work.source.open(), settings=work.request.dia)
        return [job], lambda found: DIARIZATION.dump_json(found[0])

    return _through(engines.diarizer.diarize, works, ask)


def _classify(engines: Engines, works: Iterator[Work]) -> Iterator[Answer]:
    def ask(work: Work) -> Asked[ClassifyJob, tuple[Emotion, ...]]:
        pcm = work.source.open()
        question = Question.about(
            pcm,
            work.request,
            TRANSCRIPT.validate_json(work.transcript) if work.transcript else None,
            DIARIZATION.validate_json(work.diarization) if work.diarization else None,
        )
        jobs = [
            ClassifyJob(
                key="",
                pcm=pcm if channel is None else pcm.channel(channel),
                windows=tuple(question.windows[index] for index in indices),
                language=question.language,
            )
            for channel, indices in question.by_channel.items()
        ]
        return jobs, lambda answers: EMOTIONS.dump_json(question.answered(answers))

    return _through(engines.classifier.classify, works, ask)


def _voices(work: Work) -> list[Pcm]:
    """What is to be transcribed: each channel where it is a speaker, else the whole."""
    pcm = work.source.open()
    return [pcm.channel(index) for index in range(pcm.channels)] if work.request.stereo else [pcm]


J = TypeVar("J", TranscribeJob, DiarizeJob, ClassifyJob)
Asked = tuple[list[J], Callable[[list[T]], bytes]]
"""The jobs of one recording, and what makes JSON of their answers."""


def _through(
    engine: Callable[[Iterator[J]], Iterator[tuple[str, T | Terminal]]],
    works: Iterator[Work],
    ask: Callable[[Work], Asked[J, T]],
) -> Iterator[Answer]:
    """Each recording as one or more jobs through the engine, and their values joined again."""
    ready: deque[Answer] = deque()
    opened: dict[str, tuple[Callable[[list[T]], bytes], dict[str, T | Terminal | None]]] = {}

    def jobs() -> Iterator[J]:
        for work in works:
            try:
                asked, join = ask(work)
            except (Terminal, Transient) as error:
                ready.append((work.recording_id, error))
                continue
            parts = {f"{work.recording_id}/{index}": job for index, job in enumerate(asked)}
            opened[work.recording_id] = join, dict.fromkeys(parts)
            for key, job in parts.items():
                yield replace(job, key=key)

    for key, value in engine(jobs()):
        identity = key.rpartition("/")[0]
        join, values = opened[identity]
        values[key] = value
        if all(found is not None for found in values.values()):
            del opened[identity]
            ready.append((identity, _joined(list(values.values()), join)))
        while ready:
            yield ready.popleft()
    yield from ready


def _joined(values: Sequence[T | Terminal | None], join: Callable[[list[T]], bytes]) -> str | Terminal:
    good: list[T] = []
    for value in values:
        if isinstance(value, Terminal):
            return value
        if value is not None:
            good.append(value)
    return join(good).decode()


_STAGES: dict[Stage, Callable[[Engines, Iterator[Work]], Iterator[Answer]]] = {
    Stage.NORMALIZED_AUDIO: _normalize,
    Stage.TRANSCRIPTS: _transcribe,
    Stage.DIARIZATION: _diarize,
    Stage.EMOTIONS: _classify,
}
