"""Where somebody speaks in a recording, for many look-ups."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise
from math import inf

from sensory_pipeline.core.spans import Span, union


class SpeechRegions:
    """Sorted, disjoint regions of speech. Fast for many short spans."""

    def __init__(self, spans: Iterable[Span]) -> None:
        stretches = union((span.start_ms, span.end_ms) for span in spans if span.duration_ms)
        self._starts = [start_ms for start_ms, _ in stretches]
        self._ends = [end_ms for _, end_ms in stretches]

    def __iter__(self) -> Iterator[Span]:
        for start_ms, end_ms in zip(self._starts, self._ends, strict=True):
            yield Span(start_ms=start_ms, end_ms=end_ms)

    def within(self, span: Span) -> tuple[int, float]:
        """How much of the speech lies inside a span.

        Returns:
            Milliseconds, and the number of regions, where a region partly inside counts as a fraction.
        """
        time_ms, stretches = 0, 0.0
        i = bisect_right(self._ends, span.start_ms)
        while i < len(self._starts) and self._starts[i] < span.end_ms:
            start_ms, end_ms = self._starts[i], self._ends[i]
            shared = min(end_ms, span.end_ms) - max(start_ms, span.start_ms)
            time_ms += shared
            stretches += shared / (end_ms - start_ms)
            i += 1
        return time_ms, stretches

    def overlap_ms(self, span: Span) -> int:
        return self.within(span)[0]

    def gap_ms(self, span: Span) -> float:
        """Milliseconds to the nearest region; 0 if they touch or overlap, infinite if there is none."""
        i = bisect_right(self._ends, span.start_ms)
        before = span.start_ms - self._ends[i - 1] if i else inf
        after = self._starts[i] - span.end_ms if i < len(self._starts) else inf
        return max(0.0, min(before, after))


def overlapped_speech(tracks: Iterable[SpeechRegions]) -> SpeechRegions:
    """Where two or more of them speak at once."""
    edges = sorted(edge for track in tracks for span in track for edge in ((span.start_ms, 1), (span.end_ms, -1)))
    active = 0
    stretches: list[Span] = []
    for (start_ms, step), (end_ms, _) in pairwise(edges):
        active += step
        if active > 1:
            stretches.append(Span(start_ms=start_ms, end_ms=end_ms))
    return SpeechRegions(stretches)
