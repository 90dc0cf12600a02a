"""What was said and when: the result of a transcriber."""

from __future__ import annotations

from dataclasses import dataclass

from sensory_pipeline.core.spans import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word as written, without spaces around it.

    Attributes:
        text: The word with its punctuation.
        span: When it was said.
        probability: The engine's own confidence, 0 to 1; good for ranking, not calibrated.
        space_before: Whether a space stands before it in the text; None if the engine does not say.
        channel: The channel it was said on, from 0, if each channel is a speaker; else None.
    """

    text: str
    span: Span
    probability: float
    space_before: bool | None = None
    channel: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A phrase between pauses, or a whole clip. It is cut where another channel speaks in one of its pauses.

    Attributes:
        span: From the first word to the last.
        text: As written.
        words: In order.
        language: ISO 639-1 code, if it was detected for this segment; None if it is the transcript's.
    """

    span: Span
    text: str
    words: tuple[Word, ...]
    language: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """All that was said in a recording.

    Attributes:
        language: ISO 639-1 code; None if nothing was said.
        segments: In order of time.
        gaps: Speech that could not be transcribed, in order of start. Gaps of different channels may overlap.
    """

    language: str | None
    segments: tuple[Segment, ...]
    gaps: tuple[Span, ...] = ()

    @property
    def words(self) -> tuple[Word, ...]:
        return tuple(word for segment in self.segments for word in segment.words)

    @property
    def text(self) -> str:
        """The whole text, without a space between Chinese or Japanese segments."""
        text = ""
        for segment in self.segments:
            blank = text and segment.text and not (segment.words and segment.words[0].space_before is False)
            text += f" {segment.text}" if blank else segment.text
        return text
