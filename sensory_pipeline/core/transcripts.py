"""What was said and when: a transcriber's answer."""

from __future__ import annotations

from dataclasses import dataclass

from sensory_pipeline.core.spans import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word as written, without surrounding blanks.

    probability: the engine's own confidence, 0 to 1; good for ranking, not calibrated.
    space_before: whether a blank stands before it in the text; None where the engine does not tell.
    channel: where each channel is a speaker, the one it was heard on, from 0.
    """

    text: str
    span: Span
    probability: float
    space_before: bool | None = None
    channel: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The transcriber's unit: a phrase between pauses or a whole clip, cut where another channel speaks in a pause.

    language: ISO 639-1 code, where it was determined for this segment; else the transcript's holds.
    """

    span: Span
    text: str
    words: tuple[Word, ...]
    language: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """All segments in order of time.

    language: ISO 639-1 code of the recording, or None when nothing was said. gaps: stretches of speech that
    could not be transcribed, in order of their starts; those of different channels may overlap.
    """

    language: str | None
    segments: tuple[Segment, ...]
    gaps: tuple[Span, ...] = ()

    @property
    def words(self) -> tuple[Word, ...]:
        return tuple(word for segment in self.segments for word in segment.words)

    @property
    def text(self) -> str:
        """As it is written, without a blank between Chinese or Japanese segments."""
        text = ""
        for segment in self.segments:
            blank = text and segment.text and not (segment.words and segment.words[0].space_before is False)
            text += f" {segment.text}" if blank else segment.text
        return text
