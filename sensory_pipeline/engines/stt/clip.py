"""A part of a recording that a transcriber decodes at once, and what it hears in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.arrays import Floats
from sensory_pipeline.core.requests import TranscriptionSettings
from sensory_pipeline.core.spans import Span


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """A part of a recording, at most 30 s. recording: its key among the jobs; pcm: all of it; span: what is decoded;
    speech: where somebody speaks in it, in order of time, with the soft sound around that."""

    recording: str
    pcm: Waveform
    span: Span
    speech: tuple[Span, ...]
    settings: TranscriptionSettings

    @property
    def samples(self) -> Floats:
        """At 16 kHz; made when asked for, since a recording of hours has many."""
        return self.pcm.cut(self.span).mono()


class DecodedWord(NamedTuple):
    """As the model writes it, with the blank before it; seconds from the start of its clip."""

    word: str
    start: float
    end: float
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedSegment:
    """What was said in a clip. language: it was decoded in; doubtful: it fails a threshold of its settings
    that calls for another attempt."""

    text: str
    words: tuple[DecodedWord, ...]
    language: str
    needs_fallback: bool = False
