"""Hypothesis strategies for words, turns and what is made of them; and short hands for examples."""

from __future__ import annotations

from hypothesis import strategies as st

from sensory_pipeline.core.attribution import attribute
from sensory_pipeline.core.diarization import Diarization, Turn
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.transcripts import Word
from sensory_pipeline.core.utterances import AttributedWord, utterances

TEXTS = ("I", "yes", "No.", "Dr.", "1999", "東京", "です。", "wait...", "together", "really?", "-")


def span(start_ms: int, end_ms: int) -> Span:
    return Span(start_ms=start_ms, end_ms=end_ms)


def word(text: str, start_ms: int, end_ms: int) -> Word:
    return Word(text=text, span=span(start_ms, end_ms), probability=1.0)


def turn(speaker: str, start_ms: int, end_ms: int) -> Turn:
    return Turn(span=span(start_ms, end_ms), speaker=speaker)


def alone(*turns: Turn) -> Diarization:
    """A diarization in which nobody talks over anybody."""
    return Diarization(turns=turns, exclusive=turns)


@st.composite
def words(draw: st.DrawFn, texts: tuple[str, ...] = TEXTS, longest_pause_ms: int = 3_000) -> list[Word]:
    """In order of their starts; some touch, overlap, are empty or implausibly long."""
    found: list[Word] = []
    now = 0
    for _ in range(draw(st.integers(0, 12))):
        now = max(0, now + draw(st.integers(-100, 100) | st.integers(0, longest_pause_ms)))
        duration = draw(st.integers(0, 700) | st.integers(0, 6_000))
        found.append(word(draw(st.sampled_from(texts)), now, now + duration))
        now += draw(st.just(duration) | st.integers(0, duration))
    return found


@st.composite
def diarizations(draw: st.DrawFn) -> Diarization:
    """Up to three speakers, who may overlap; the exclusive turns lie in the regular ones."""
    turns: list[Turn] = []
    now = 0
    for _ in range(draw(st.integers(0, 8))):
        now = max(0, now + draw(st.integers(-1_500, 2_500)))
        length = draw(st.integers(0, 300) | st.integers(0, 8_000))
        turns.append(turn(draw(st.sampled_from("ABC")), now, now + length))
        now += length
    turns.sort(key=lambda turn: turn.span)
    exclusive: list[Turn] = []
    free = 0
    for one in turns:
        if one.span.end_ms > max(free, one.span.start_ms):
            exclusive.append(turn(one.speaker, max(free, one.span.start_ms), one.span.end_ms))
            free = one.span.end_ms
    return Diarization(turns=tuple(turns), exclusive=tuple(exclusive))


attributed = st.builds(attribute, words(), diarizations())
said = attributed.map(utterances)


def attributed_word(text: str, start_ms: int, end_ms: int, speaker: str | None = "A") -> AttributedWord:
    return AttributedWord(
        word=word(text, start_ms, end_ms),
        spoken=span(start_ms, end_ms),
        speaker=speaker,
        overlap_share=1.0,
        runner_up=None,
        overlapped=False,
    )
