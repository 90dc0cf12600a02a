"""Who said what: contiguous words of one speaker, the analyst's grain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sensory_pipeline.core.punctuation import join
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.core.transcripts import Word

LONG_PAUSE_MS = 2_000
"""A speaker who is silent for so long starts a new utterance: far beyond a pause for breath or
thought, which stays under about a second, and short enough to say when something was said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributedWord:
    """A word and whose it is, with the evidence.

    spoken: the part of the word's span in which it was most likely said; shorter than
    `word.span` only where that is implausibly long. speaker: None when nobody speaks within
    `attribution.REACH_MS`. overlap_share: part of `spoken` that the speaker's turns cover, the
    exclusive ones unless each channel is a speaker, 0 to 1. runner_up: the next likely speaker
    within reach. overlapped: two or more people speak at once during the word. doubtful: it is likely that nobody
    said it (see doubt.py).
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
    """Consecutive words of one speaker, at least one of them."""

    words: tuple[AttributedWord, ...]

    @property
    def speaker(self) -> str | None:
        return self.words[0].speaker

    @property
    def span(self) -> Span:
        """From the first word to the last as they were spoken: a stretched end is left out."""
        return cover(word.spoken for word in self.words)

    @property
    def text(self) -> str:
        return join(word.word for word in self.words)


def pause_ms(before: AttributedWord, after: AttributedWord) -> int:
    """Silence between two consecutive words as they were spoken; 0 when they touch or overlap."""
    return max(0, after.spoken.start_ms - before.spoken.end_ms)


def utterances(words: Sequence[AttributedWord]) -> tuple[Utterance, ...]:
    """Cut where the speaker changes and at long pauses; every word is in exactly one, in order."""
    if not words:
        return ()
    cuts = [
        i
        for i, (before, after) in enumerate(pairwise(words), start=1)
        if before.speaker != after.speaker or pause_ms(before, after) >= LONG_PAUSE_MS
    ]
    return tuple(Utterance(words=tuple(words[i:j])) for i, j in pairwise((0, *cuts, len(words))))
