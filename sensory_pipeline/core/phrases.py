"""Cuts a transcriber's clip of up to half a minute into phrases as short as subtitles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from sensory_pipeline.core.attribution import plausible_end_ms
from sensory_pipeline.core.pauses import split_at_pauses
from sensory_pipeline.core.punctuation import ends_sentence, join
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.core.transcripts import Segment, Word

LIMIT_MS = 7_000
"""The longest phrase: as long as a subtitle may stay (Netflix, "Timed Text Style Guide: General Requirements")."""
PAUSE_MS = 1_000
"""A silence between two words that ends a phrase."""


def phrases(segment: Segment) -> Iterator[Segment]:
    """Cut the segment after sentences, at silences of a second, and what is still longer than 7 s, at its pauses.

    Every word is in exactly one phrase, in order. A segment that is short enough comes back as it is.
    """
    words = segment.words
    spoken = [_spoken(word) for word in words]
    cuts = [
        i
        for i, (before, after) in enumerate(pairwise(words), 1)
        if ends_sentence(before.text, after.text) or spoken[i - 1].gap_ms(spoken[i]) >= PAUSE_MS
    ]
    runs = [
        slice(first + run.start, first + run.stop)
        for first, last in pairwise((0, *cuts, len(words)))
        for run in split_at_pauses(spoken[first:last], LIMIT_MS)
    ]
    if len(runs) <= 1:
        yield segment
        return
    for run in runs:
        part = words[run]
        yield replace(segment, span=cover(word.span for word in part), text=join(part), words=part)


def _spoken(word: Word) -> Span:
    return Span(start_ms=word.span.start_ms, end_ms=plausible_end_ms(word))
