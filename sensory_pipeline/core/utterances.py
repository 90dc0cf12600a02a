"""Who said what: consecutive words of one speaker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sensory_pipeline.core.punctuation import join
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.core.transcripts import Word

LONG_PAUSE_MS = 2_000
"""A silence of this length starts a new utterance. Pauses for breath or thought stay under about a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributedWord:
    """A word and its speaker, with the evidence.

    Attributes:
        word: As transcribed.
        spoken: The part of the word's span in which it was most likely said; shorter than `word.span` only if that
            is implausibly long.
        speaker: None if nobody speaks within `attribution.REACH_MS`.
        overlap_share: Share of `spoken` that the speaker's turns cover, 0 to 1. Only exclusive turns count, unless each
            channel is a speaker.
        runner_up: The second most likely speaker within reach.
        overlapped: Two or more people speak at once during the word.
        doubtful: Probably nobody said it (see doubtful_words.py).
    """

    word: Word
    spoken: Span
    speaker: str | None
    overlap_share: float
    runner_up: str | None
    overlapped: bool
    doubtful: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """Consecutive words of one speaker; at least one word."""

    words: tuple[AttributedWord, ...]

    @property
    def speaker(self) -> str | None:
        return self.words[0].speaker

    @property
    def span(self) -> Span:
        """From the first word to the last as they were spoken, without a stretched end."""
        return cover(word.spoken for word in self.words)

    @property
    def text(self) -> str:
        return join(word.word for word in self.words)


def pause_ms(before: AttributedWord, after: AttributedWord) -> int:
    """Milliseconds of silence between two consecutive words as spoken; 0 if they touch or overlap."""
    return max(0, after.spoken.start_ms - before.spoken.end_ms)


def utterances(words: Sequence[AttributedWord]) -> tuple[Utterance, ...]:
    """Cut the words where the speaker changes and at long pauses. Every word is in exactly one utterance, in order."""
    if not words:
        return ()
    cuts = [
        i
        for i, (before, after) in enumerate(pairwise(words), start=1)
        if before.speaker != after.speaker or pause_ms(before, after) >= LONG_PAUSE_MS
    ]
    return tuple(Utterance(words=tuple(words[i:j])) for i, j in pairwise((0, *cuts, len(words))))
