"""Repetition loops of a decoder: text that its thresholds let through and nobody said."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST_PHRASE = 12
"""Words; most loops are over one to five."""

_PUNCTUATION = " \"'“”‘’«».。,，!！?？:：;；…-–—()[]{}¿¡、"


def without_loops(words: Sequence[str], *, max_repeats: int) -> list[int]:
    """Indices of the words that stay if each loop is reduced to its first round.

    A loop is a phrase of at most LONGEST_PHRASE words that occurs more than `max_repeats` times in a row. Case and
    punctuation are ignored, and an incomplete last round is removed too. The first round stays,
    since decoders get stuck on words that were really said (arXiv 2212.04356, section 4.5: repetition looping).

    >>> without_loops("so Thank you. Thank you. thank you thank".split(), max_repeats=2)
    [0, 1, 2]
    >>> without_loops("no no no I said".split(), max_repeats=3)
    [0, 1, 2, 3, 4]
    """
    said = [word.casefold().strip(_PUNCTUATION) for word in words]
    kept: list[int] = []
    at = 0
    while at < len(said):
        length, end = _loop(said, at, max_repeats)
        kept.extend(range(at, at + length))
        at = end
    return kept


def _loop(said: Sequence[str], start: int, max_repeats: int) -> tuple[int, int]:
    """The length of the loop that starts here, in words, and where it ends; without a loop, that of the word."""
    for length in range(1, LONGEST_PHRASE + 1):
        end = start + length
        while end < len(said) and said[end] == said[end - length]:
            end += 1
        if end - start >= length * (max_repeats + 1):
            return length, end
    return 1, start + 1
