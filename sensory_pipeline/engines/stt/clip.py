"""A part of a recording that a transcriber decodes at once, and what it decodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.arrays import Floats
from sensory_pipeline.core.process_request import TranscriptionSettings
from sensory_pipeline.core.spans import Span


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """A part of a recording, at most 30 s.

    Attributes:
        recording: The key of its job.
        pcm: The whole recording.
        span: The part that is decoded.
        speech: Where there is speech in it, in order of time, with the soft sound around it.
        settings: How to transcribe it.
    """

    recording: str
    pcm: Waveform
    span: Span
    speech: tuple[Span, ...]
    settings: TranscriptionSettings

    @property
    def samples(self) -> Floats:
        """16 kHz mono, shape (frames,). Made when asked for, since a long recording has many."""
        return self.pcm.cut(self.span).mono()


class DecodedWord(NamedTuple):
    """A word as the model writes it.

    Attributes:
        word: With the space before it.
        start: Seconds from the start of its clip.
        end: Seconds from the start of its clip.
        probability: 0 to 1.
    """

    word: str
    start: float
    end: float
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedSegment:
    """What was said in a clip, or in a part of it.

    Attributes:
        text: As the model writes it.
        words: In order.
        language: The language in which it was decoded.
        needs_fallback: Whether it fails a threshold of its settings, and should be decoded at a higher temperature.
    """

    text: str
    words: tuple[DecodedWord, ...]
    language: str
    needs_fallback: bool = False
