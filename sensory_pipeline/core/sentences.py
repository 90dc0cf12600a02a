"""Cuts an utterance into sentences."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from sensory_pipeline.core.pauses import split_at_pauses
from sensory_pipeline.core.punctuation import ends_sentence
from sensory_pipeline.core.utterances import AttributedWord, Utterance, pause_ms

PAUSE_MS = 600
"""Ends a sentence if there is no punctuation. Pauses for breath within a sentence are mostly shorter."""

LIMIT_MS = 25_000
"""The longest sentence, and the most an emotion classifier should get at once."""


def sentences(utterance: Utterance) -> tuple[Utterance, ...]:
    """Cut the utterance after terminal punctuation or, if it has none, at pauses of 0.6 s.

    A sentence longer than 25 s is cut at its longest pauses. Every word is in exactly one sentence, in order.
    """
    words = utterance.words
    ends = [ends_sentence(before.word.text, after.word.text) for before, after in pairwise(words)]
    if not any(ends) and not ends_sentence(words[-1].word.text, None):
        ends = [pause_ms(before, after) >= PAUSE_MS for before, after in pairwise(words)]
    cuts = [i for i, end in enumerate(ends, start=1) if end]
    return tuple(
        sentence for first, last in pairwise((0, *cuts, len(words))) for sentence in _limited(words[first:last])
    )


def _limited(words: Sequence[AttributedWord]) -> list[Utterance]:
    runs = split_at_pauses([word.spoken for word in words], LIMIT_MS)
    return [Utterance(words=tuple(words[run])) for run in runs]
