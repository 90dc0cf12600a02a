"""The three Protocols of engines.

An engine takes a stream of jobs, possibly of many recordings, and yields one result for each, in any order: the value,
or the `Terminal` error that concerns this recording only. If it raises a `ConfigurationError`, its stage stops. If it
raises anything else, its process ends, and the recordings that it had taken are tried again one by one; a recording
that it fails on three times gets an `EngineError`. Objects of a library never leave an engine's module.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.emotions import Emotion, EmotionWindow
from sensory_pipeline.core.errors import Terminal
from sensory_pipeline.core.process_request import DiarizationSettings, TranscriptionSettings
from sensory_pipeline.core.transcripts import Transcript


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What made a result. All fields but the device go into the fingerprint.

    Attributes:
        engine: The adapter.
        model: The weights.
        revision: The version of the weights.
        algorithm: Raised by hand whenever the adapter's own code changes its output.
        device: Where it runs, with the precision if there is a choice. Results stay valid on another device.
        settings_used: Names of the settings that affect the results; None for all.
        languages: Codes of the languages it knows; None if only the model can say.
    """

    engine: str
    model: str
    revision: str
    algorithm: int
    device: str = "cpu"
    settings_used: frozenset[str] | None = None
    languages: frozenset[str] | None = None

    @property
    def translates(self) -> bool:
        """Whether a transcriber can translate into English, as far as that is known without its model."""
        return self.languages != frozenset({"en"}) and (self.settings_used is None or "translate" in self.settings_used)


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscribeJob:
    """A recording to transcribe.

    Attributes:
        key: Comes back with the result.
        pcm: The whole recording.
        settings: How to transcribe it.
    """

    key: str
    pcm: Waveform
    settings: TranscriptionSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class DiarizeJob:
    """A recording to diarize.

    Attributes:
        key: Comes back with the result.
        pcm: The whole recording.
        settings: How many speakers to expect.
    """

    key: str
    pcm: Waveform
    settings: DiarizationSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifyJob:
    """A recording whose emotions are wanted.

    Attributes:
        key: Comes back with the result.
        pcm: The whole recording.
        windows: The parts to classify; the emotions come in the same order.
        language: Of the transcript; None if unknown.
    """

    key: str
    pcm: Waveform
    windows: tuple[EmotionWindow, ...]
    language: str | None


class Transcriber(Protocol):
    """Speech to text."""

    @property
    def info(self) -> EngineInfo: ...

    def transcribe(self, jobs: Iterable[TranscribeJob]) -> Iterator[tuple[str, Transcript | Terminal]]:
        """One result for each job, with the job's key.

        Raises:
            UnsupportedLanguage: The engine does not know the language.
        """
        ...


class Diarizer(Protocol):
    """Who spoke when."""

    @property
    def info(self) -> EngineInfo: ...

    def diarize(self, jobs: Iterable[DiarizeJob]) -> Iterator[tuple[str, Diarization | Terminal]]:
        """One result for each job, with the job's key. Speakers are numbered in order of appearance."""
        ...


class EmotionClassifier(Protocol):
    """How it was said."""

    @property
    def info(self) -> EngineInfo: ...

    def classify(self, jobs: Iterable[ClassifyJob]) -> Iterator[tuple[str, tuple[Emotion, ...] | Terminal]]:
        """One result for each job, with the job's key: an Emotion for each window, in the same order."""
        ...
