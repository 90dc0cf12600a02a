"""Speech for which a transcriber has no words: a decoder may skip whole sentences without reporting it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sensory_pipeline.core.attribution import plausible_ms
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.speech_regions import SpeechRegions

LOST_MS = 1000
"""Speech without a word that is longer than a pause."""
_SLACK_MS = 250
"""A word may begin this much before, or end this much after, the times given for it."""


def untranscribed(speech: Iterable[Span], words: Iterable[tuple[str, Span]]) -> Iterator[Span]:
    """The parts of the speech that no word covers.

    >>> words = [("good", Span(start_ms=100, end_ms=400)), ("bye", Span(start_ms=8_500, end_ms=8_900))]
    >>> list(untranscribed([Span(start_ms=0, end_ms=9_000)], words))
    [Span(start_ms=650, end_ms=8250)]

    Args:
        speech: In order of time, disjoint.
        words: Text and time of each word, in any order. A word that lasts longer than `plausible_ms` counts from its
            start only, since aligners stretch a word over what the decoder has skipped.

    Yields:
        Spans in order of time.
    """
    heard = SpeechRegions(_heard(text, span) for text, span in words)
    for stretch in speech:
        at_ms = stretch.start_ms
        for word in heard:
            if word.end_ms <= at_ms:
                continue
            if word.start_ms >= stretch.end_ms:
                break
            if word.start_ms > at_ms:
                yield Span(start_ms=at_ms, end_ms=word.start_ms)
            at_ms = word.end_ms
        if at_ms < stretch.end_ms:
            yield Span(start_ms=at_ms, end_ms=stretch.end_ms)


def _heard(text: str, span: Span) -> Span:
    start_ms = max(0, span.start_ms - _SLACK_MS)
    longest_ms = plausible_ms(text)
    if span.duration_ms > longest_ms:
        return Span(start_ms=start_ms, end_ms=span.start_ms + longest_ms)
    return Span(start_ms=start_ms, end_ms=span.end_ms + _SLACK_MS)
