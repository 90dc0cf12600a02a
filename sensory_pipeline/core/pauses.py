"""Cutting long speech at its pauses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from sensory_pipeline.core.spans import Span


def split_at_pauses(spans: Sequence[Span], limit_ms: int) -> Iterator[slice]:
    """Runs of consecutive spans, each at most `limit_ms` long from first start to last end, cut at long pauses.

    Each cut is at the longest pause that leaves at least a third of the limit on both sides, or if there is none, at
    the longest pause of all. A single span may exceed the limit.

    >>> spans = [Span(start_ms=start, end_ms=start + 900) for start in (0, 1_000, 3_000, 4_000)]
    >>> list(split_at_pauses(spans, 4_000))
    [slice(0, 2, None), slice(2, 4, None)]

    Args:
        spans: In order of time.
        limit_ms: The longest run, in milliseconds.

    Yields:
        The slice of `spans` that makes a run.
    """
    first = 0
    while first < len(spans):
        last = _cut(spans, first, limit_ms)
        yield slice(first, last)
        first = last


def _cut(spans: Sequence[Span], first: int, limit_ms: int) -> int:
    """Where the run that starts at `first` ends."""
    start_ms, end_ms = spans[first].start_ms, spans[-1].end_ms
    if end_ms - start_ms <= limit_ms:
        return len(spans)
    best = (False, -1, first + 1)
    for i in range(first + 1, len(spans)):
        before_ms, after_ms = spans[i - 1].end_ms, spans[i].start_ms
        if before_ms - start_ms > limit_ms:
            break
        sizeable = min(before_ms - start_ms, end_ms - after_ms) >= limit_ms / 3
        best = max(best, (sizeable, after_ms - before_ms, i))
    return best[2]


def pack_spans(spans: Sequence[Span], limit_ms: int) -> Iterator[slice]:
    """As few runs of consecutive spans as possible, each at most `limit_ms` long from first start to last end.

    If several ways have as few runs, the one with the fewest runs shorter than a third of the limit is taken, and then
    the one with the longest pauses between its runs. A single span may exceed the limit.

    >>> spans = [Span(start_ms=start, end_ms=start + 900) for start in (0, 1_000, 3_000, 4_000, 5_000)]
    >>> list(pack_spans(spans, 4_000))
    [slice(0, 2, None), slice(2, 5, None)]

    Args:
        spans: In order of time.
        limit_ms: The longest run, in milliseconds.

    Yields:
        The slice of `spans` that makes a run.
    """
    end = len(spans)
    best = [_Way(runs=0, short=0, pauses_ms=0, cut=end)] * (end + 1)  # for what is left, from each span on
    for first in reversed(range(end)):
        ways = []
        end_ms = 0
        for cut in range(first + 1, end + 1):
            end_ms = max(end_ms, spans[cut - 1].end_ms)
            length_ms = end_ms - spans[first].start_ms
            if length_ms > limit_ms and cut > first + 1:
                break
            pause_ms = spans[cut - 1].gap_ms(spans[cut]) if cut < end else 0
            rest, short = best[cut], length_ms < limit_ms / 3
            ways.append(_Way(rest.runs + 1, rest.short + short, rest.pauses_ms - pause_ms, cut))
        best[first] = min(ways)
    first = 0
    while first < end:
        yield slice(first, best[first].cut)
        first = best[first].cut


class _Way(NamedTuple):
    """A way to divide spans into runs; the smallest tuple is the best.

    Attributes:
        runs: How many there are.
        short: How many of them are short.
        pauses_ms: Milliseconds between runs, negative.
        cut: Where the first run ends.
    """

    runs: int
    short: int
    pauses_ms: int
    cut: int


def parts(span: Span, limit_ms: int) -> Iterator[Span]:
    """The span in the fewest equal parts that are no longer than `limit_ms`.

    >>> [part.end_ms for part in parts(Span(start_ms=0, end_ms=100), 40)]
    [33, 66, 100]
    """
    count = max(1, -(-span.duration_ms // limit_ms))
    edges = [span.start_ms + span.duration_ms * i // count for i in range(count + 1)]
    for start_ms, end_ms in pairwise(edges):
        yield Span(start_ms=start_ms, end_ms=end_ms)
