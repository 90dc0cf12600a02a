"""Aligns a new transcript with the words already sent, to count which it repeats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sensory_pipeline.core.transcripts import Word

_FAR_MS = 2_000
"""Words this far apart are hardly the same word."""


def same(one: Word, other: Word) -> bool:
    """Whether two words are the same except for case and punctuation."""
    return bare(one.text) == bare(other.text)


def bare(text: str) -> str:
    """A word without case and punctuation. A word of nothing but punctuation stays as it is.

    >>> bare("Yes,"), bare("O'Neill's"), bare("--")
    ('yes', 'oneills', '--')
    """
    return "".join(filter(str.isalnum, text)).casefold() or text


def already_said(final: Sequence[Word], partial: Sequence[Word], hypothesis: Sequence[Word], *, start_ms: int) -> int:
    """How many of the hypothesis's first words are final words that were transcribed again.

    The hypothesis is aligned with the final words and the last partial ones at the lowest edit distance (Levenshtein).
    Where words repeat, their times decide, so that a "no" said twice differs from a "no" transcribed twice.

    Args:
        final: Final words, of which the last may still be in the sound.
        partial: The words after them in the previous hypothesis.
        hypothesis: The words of the sound, in order of time.
        start_ms: Where the sound begins.
    """
    known = [*final, *partial]
    last_ms = final[-1].span.end_ms if final else 0
    row = [_Way(0.0, 0)]  # known[:i] against hypothesis[:j], for each j
    for heard in hypothesis:
        row.append(row[-1].with_extra(heard, last_ms, free=not known))
    for i, word in enumerate(known):
        above, row = row, []
        is_final = i < len(final)
        lost = 0.0 if is_final and _middle(word) < start_ms else 1.0
        for j in range(len(hypothesis) + 1):
            ways = [_Way(above[j].cost + lost, above[j].said)]
            if j:
                heard = hypothesis[j - 1]
                cost = above[j - 1].cost + _difference(word, heard)
                ways.append(_Way(cost, j if is_final else above[j - 1].said))
                ways.append(row[-1].with_extra(heard, last_ms, free=i + 1 == len(known)))
            row.append(min(ways, key=lambda way: way.cost))
    return row[-1].said


class _Way(NamedTuple):
    """One alignment: its cost, and how many words of the hypothesis are final words, transcribed again (`said`)."""

    cost: float
    said: int

    def with_extra(self, word: Word, last_ms: int, *, free: bool) -> _Way:
        """The alignment plus a word of the hypothesis that is new; `free` if no known word comes after it."""
        again = _middle(word) < last_ms
        return _Way(self.cost + (0 if free and not again else 1), self.said + again)


def _difference(one: Word, other: Word) -> float:
    distance = min(1.0, abs(_middle(one) - _middle(other)) / _FAR_MS)
    return (0 if same(one, other) else 1) + distance / 2


def _middle(word: Word) -> float:
    return (word.span.start_ms + word.span.end_ms) / 2
