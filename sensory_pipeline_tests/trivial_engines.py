"""Engines that answer at once, and engines that misbehave on one recording: real fakes at the Protocols.

A recording is recognised by its length: `audio_files.tone` makes one of so many milliseconds.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from sensory_pipeline.core.diarization import Diarization, Turn
from sensory_pipeline.core.emotions import Emotion, EmotionScores
from sensory_pipeline.core.errors import ConfigurationError, EngineError, Terminal, UnsupportedLanguage
from sensory_pipeline.core.transcripts import Segment, Transcript, Word
from sensory_pipeline.engines.base import ClassifyJob, DiarizeJob, EngineInfo, TranscribeJob
from sensory_pipeline.engines.cache import CacheSettings, LoadedModel, ModelCache
from sensory_pipeline.engines.selection import Engines

CULPRIT_MS = 500
"""A recording of this length is the one that engines misbehave on."""

HANGING = "hanging"


class TrivialTranscriber:
    """One word a recording: its length in milliseconds. misbehave: called for the culprit;
    pause_s: seconds each batch takes."""

    info = EngineInfo(engine="trivial", model="none", revision="1", algorithm=1)

    def __init__(self, misbehave: Callable[[], None] = lambda: None, *, batch: int = 1, pause_s: float = 0) -> None:
        self._misbehave = misbehave
        self._pause_s = pause_s
        self._batch = batch

    def transcribe(self, jobs: Iterable[TranscribeJob]) -> Iterator[tuple[str, Transcript | Terminal]]:
        batch: list[TranscribeJob] = []
        for job in jobs:
            if job.settings.language not in ("auto", "en"):
                raise UnsupportedLanguage(f"trivial speaks no {job.settings.language}")
            batch.append(job)
            if len(batch) == self._batch:
                yield from self._answers(batch)
                batch.clear()
        yield from self._answers(batch)

    def _answers(self, batch: list[TranscribeJob]) -> Iterator[tuple[str, Transcript | Terminal]]:
        if any(job.pcm.duration_ms == CULPRIT_MS for job in batch):
            self._misbehave()
        time.sleep(self._pause_s)
        for job in batch:
            span = job.pcm.span
            word = Word(text=f"{span.end_ms}", span=span, probability=0.5)
            segment = Segment(span=span, text=word.text, words=(word,))
            yield job.key, Transcript(language="en", segments=(segment,))


class TrivialDiarizer:
    """One speaker, all the time."""

    info = EngineInfo(engine="trivial", model="none", revision="1", algorithm=1)

    def diarize(self, jobs: Iterable[DiarizeJob]) -> Iterator[tuple[str, Diarization | Terminal]]:
        for job in jobs:
            turns = (Turn(span=job.pcm.span, speaker="SPEAKER_00"),)
            yield job.key, Diarization(turns=turns, exclusive=turns)


class SegfaultingDiarizer(TrivialDiarizer):
    """Kills its process over the culprit."""

    def diarize(self, jobs: Iterable[DiarizeJob]) -> Iterator[tuple[str, Diarization | Terminal]]:
        for job in jobs:
            if job.pcm.duration_ms == CULPRIT_MS:
                _segfault()
            yield from super().diarize([job])


class BrokenTranscriber(TrivialTranscriber):
    """Fails on everything, as on a broken device."""

    def transcribe(self, jobs: Iterable[TranscribeJob]) -> Iterator[tuple[str, Transcript | Terminal]]:
        for job in jobs:
            yield job.key, EngineError("the device is lost")


class RefusingTranscriber(TrivialTranscriber):
    """Fails on the culprits."""

    def _answers(self, batch: list[TranscribeJob]) -> Iterator[tuple[str, Transcript | Terminal]]:
        for job, answer in zip(batch, super()._answers(batch), strict=True):
            yield (job.key, EngineError("no memory")) if job.pcm.duration_ms == CULPRIT_MS else answer


class MumblingTranscriber(TrivialTranscriber):
    """Hears German, is sure of nothing, and hears no word from the culprit."""

    def _answers(self, batch: list[TranscribeJob]) -> Iterator[tuple[str, Transcript | Terminal]]:
        for key, answer in super()._answers(batch):
            assert isinstance(answer, Transcript)
            silent = answer.words[0].span.end_ms == CULPRIT_MS
            doubtful = tuple(
                replace(segment, words=tuple(replace(word, probability=0.2) for word in segment.words))
                for segment in answer.segments
            )
            yield key, Transcript(language="de", segments=() if silent else doubtful)


class PoisonedTranscriber(TrivialTranscriber):
    """Fails over the culprit, and from then on over everything, as a GPU does after some faults."""

    poisoned = False

    def _answers(self, batch: list[TranscribeJob]) -> Iterator[tuple[str, Transcript | Terminal]]:
        self.poisoned |= any(job.pcm.duration_ms == CULPRIT_MS for job in batch)
        if self.poisoned:
            raise RuntimeError("an illegal memory access was encountered")
        yield from super()._answers(batch)


class ObedientTranscriber(TrivialTranscriber):
    """Hangs once if it finds a file `told`, and leaves HANGING in its place, which holds the id of its process."""

    def __init__(self, told: Path, cache: ModelCache) -> None:
        super().__init__()
        self._told = told
        self._cache = cache

    def _answers(self, batch: list[TranscribeJob]) -> Iterator[tuple[str, Transcript | Terminal]]:
        if batch:
            with suppress(FileNotFoundError):
                mine = self._told.rename(self._told.with_name(str(os.getpid())))  # one process at most can do that
                mine.write_text(mine.name)
                mine.rename(self._told.with_name(HANGING))
                _hang()
            with self._cache.lease("obedient", lambda: LoadedModel(model=None, size_bytes=5, unload=_nothing)):
                yield from super()._answers(batch)


class TrivialClassifier:
    """Everything is neutral."""

    info = EngineInfo(engine="trivial", model="none", revision="1", algorithm=1)

    def classify(self, jobs: Iterable[ClassifyJob]) -> Iterator[tuple[str, tuple[Emotion, ...] | Terminal]]:
        scores = EmotionScores(angry=0.1, sad=0.1, neutral=0.7, positive=0.1)
        for job in jobs:
            yield (
                job.key,
                tuple(
                    Emotion(window=window, scores=scores, arousal=0.0, voiced_ms=0, caveat="heuristic")
                    for window in job.windows
                ),
            )


def _make(misbehave: Callable[[], None], batch: int, pause_s: float = 0) -> Engines:
    return Engines(
        transcriber=TrivialTranscriber(misbehave, batch=batch, pause_s=pause_s),
        diarizer=TrivialDiarizer(),
        classifier=TrivialClassifier(),
    )


def _segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _hang() -> None:
    time.sleep(3600)


def _eat_memory() -> None:
    blocks = []
    while True:
        blocks.append(bytearray(os.urandom(1 << 20)) * 32)


def _raise() -> None:
    raise RuntimeError("cannot allocate")


def _log() -> None:
    logging.getLogger("an.engine").info("how it goes")
    logging.getLogger("an.engine").warning("what is odd")


def _note() -> None:
    Path(os.environ["NOTE"]).touch()  # noqa: TID251


def _note_and_hang() -> None:
    _note()
    _hang()


def _nothing() -> None:
    pass


trivial = partial(_make, _nothing, 1)
slow = partial(_make, _nothing, 1, 0.3)
segfaulting = partial(_make, _segfault, 1)
segfaulting_in_batches = partial(_make, _segfault, 4)
hanging = partial(_make, _hang, 1)
eating_memory = partial(_make, _eat_memory, 1)
raising = partial(_make, _raise, 4)
logging_something = partial(_make, _log, 1)
touching_a_note = partial(_make, _note, 1)
touching_a_note_and_hanging = partial(_make, _note_and_hang, 1)


def obedient(told: Path) -> Engines:
    cache = ModelCache(CacheSettings())
    return replace(trivial(), transcriber=ObedientTranscriber(told, cache), cache=cache)


def segfaulting_in_diarization() -> Engines:
    return replace(trivial(), diarizer=SegfaultingDiarizer())


def poisoned() -> Engines:
    return replace(trivial(), transcriber=PoisonedTranscriber())


def broken() -> Engines:
    return replace(trivial(), transcriber=BrokenTranscriber())


def refusing() -> Engines:
    return replace(trivial(), transcriber=RefusingTranscriber())


def mumbling() -> Engines:
    return replace(trivial(), transcriber=MumblingTranscriber())


def failed_start() -> Engines:
    """Engines whose process cannot even start."""
    os._exit(7)


class UnableDiarizer(TrivialDiarizer):
    """Has no model, say."""

    def diarize(self, jobs: Iterable[DiarizeJob]) -> Iterator[tuple[str, Diarization | Terminal]]:
        raise ConfigurationError("no diarization today")


class CrypticError(ConfigurationError):
    """Cannot be unpickled."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")


class CrypticDiarizer(TrivialDiarizer):
    """Refuses its settings with an error that cannot be unpickled."""

    def diarize(self, jobs: Iterable[DiarizeJob]) -> Iterator[tuple[str, Diarization | Terminal]]:
        raise CrypticError("no diarization", "today")


def cryptic() -> Engines:
    return replace(trivial(), diarizer=CrypticDiarizer())


def unable_to_diarize() -> Engines:
    return replace(trivial(), diarizer=UnableDiarizer())
