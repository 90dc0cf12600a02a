"""What a decoder makes up: text that its thresholds let through and nobody said."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST_PHRASE = 12
"""Words; most loops are over one to five."""

_PUNCTUATION = " \"'“”‘’«».。,，!！?？:：;；…-–—()[]{}¿¡、"


def without_loops(words: Sequence[str], *, max_repeats: int) -> list[int]:
    """Indices of the words that stay when each loop is reduced to its first round.

    A loop is a phrase of at most LONGEST_PHRASE words said more than `max_repeats` times in a row;
    case and punctuation do not count, and an unfinished last round goes too. The first round stays,
    since decoders get stuck on what was really said (arXiv 2212.04356, section 4.5: repetition looping).

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
    """Words in a round of the loop that starts here, and where it ends; without one, the word alone."""
    for length in range(1, LONGEST_PHRASE + 1):
        end = start + length
        while end < len(said) and said[end] == said[end - length]:
            end += 1
        if end - start >= length * (max_repeats + 1):
            return length, end
    return 1, start + 1
