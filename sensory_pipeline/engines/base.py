"""The three Protocols every engine answers to.

An engine takes a stream of jobs, possibly of many recordings, and gives back one answer for each,
in any order: the value, or the `Terminal` error that concerns this recording alone. Anything else
it raises is a fault of the engine or its settings, and stops the run. Vendor objects never leave
an engine's module.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.emotions import Emotion, EmotionWindow
from sensory_pipeline.core.errors import Terminal
from sensory_pipeline.core.requests import DiarizationSettings, TranscriptionSettings
from sensory_pipeline.core.transcripts import Transcript


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What made a result: all of it but the device goes into the fingerprint.

    engine: our adapter; model and revision: the weights; algorithm: raised by hand whenever the
    adapter's own code changes its output. device: where it computes, with the precision where there
    is a choice; moving to another machine redoes nothing. settings_used: names of the settings that change
    its answers, None for all of them; languages: those it knows, None where only the model can say.
    """

    engine: str
    model: str
    revision: str
    algorithm: int
    device: str = "cpu"
    settings_used: frozenset[str] | None = None
    languages: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscribeJob:
    """key: comes back with the answer; pcm: the whole recording."""

    key: str
    pcm: Waveform
    settings: TranscriptionSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class DiarizeJob:
    """key: comes back with the answer; pcm: the whole recording."""

    key: str
    pcm: Waveform
    settings: DiarizationSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifyJob:
    """windows: what to judge, answered in the same order; language: of the transcript, if known."""

    key: str
    pcm: Waveform
    windows: tuple[EmotionWindow, ...]
    language: str | None


class Transcriber(Protocol):
    """Speech to text."""

    @property
    def info(self) -> EngineInfo: ...

    def transcribe(self, jobs: Iterable[TranscribeJob]) -> Iterator[tuple[str, Transcript | Terminal]]:
        """One answer a job. Raises UnsupportedLanguage for a language the engine does not speak."""
        ...


class Diarizer(Protocol):
    """Who spoke when."""

    @property
    def info(self) -> EngineInfo: ...

    def diarize(self, jobs: Iterable[DiarizeJob]) -> Iterator[tuple[str, Diarization | Terminal]]:
        """One answer a job; speakers are numbered in order of appearance."""
        ...


class EmotionClassifier(Protocol):
    """How it was said."""

    @property
    def info(self) -> EngineInfo: ...

    def classify(self, jobs: Iterable[ClassifyJob]) -> Iterator[tuple[str, tuple[Emotion, ...] | Terminal]]:
        """One answer a job, holding one Emotion a window in the order asked."""
        ...
