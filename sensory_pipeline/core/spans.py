"""Time: half-open spans on the axis of one recording.

Internally, milliseconds are integers, so that sums, comparisons and hashes are exact. Seconds appear
only at the edges (JSON, views, engines), through `Span.from_seconds` and the `*_s` properties.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

Time = TypeVar("Time", int, float)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Span:
    """The interval [start_ms, end_ms), in milliseconds from the start of the recording.

    >>> Span.from_seconds(0.5, 1.25)
    Span(start_ms=500, end_ms=1250)

    Raises:
        ValueError: It starts before 0, or ends before it starts.
    """

    start_ms: int
    end_ms: int

    def __post_init__(self) -> None:
        if not 0 <= self.start_ms <= self.end_ms:
            raise ValueError(f"not a span: [{self.start_ms}, {self.end_ms}) ms")

    @classmethod
    def from_seconds(cls, start_s: float, end_s: float) -> Span:
        """Round to the nearest millisecond; a time before 0, or an end before the start, is clipped."""
        start_ms = max(0, round(start_s * 1000))
        return cls(start_ms=start_ms, end_ms=max(start_ms, round(end_s * 1000)))

    @property
    def start_s(self) -> float:
        return self.start_ms / 1000

    @property
    def end_s(self) -> float:
        return self.end_ms / 1000

    @property
    def duration_ms(self) -> int:
        return self.end_ms - self.start_ms

    @property
    def duration_s(self) -> float:
        return self.duration_ms / 1000

    def overlap_ms(self, other: Span) -> int:
        """Milliseconds that both spans cover.

        >>> Span(start_ms=0, end_ms=10).overlap_ms(Span(start_ms=4, end_ms=30))
        6
        """
        return max(0, min(self.end_ms, other.end_ms) - max(self.start_ms, other.start_ms))

    def gap_ms(self, other: Span) -> int:
        """Milliseconds between the nearest edges; 0 when they touch or overlap.

        >>> Span(start_ms=0, end_ms=10).gap_ms(Span(start_ms=25, end_ms=30))
        15
        """
        return max(0, other.start_ms - self.end_ms, self.start_ms - other.end_ms)

    def clip(self, to: Span) -> Span:
        """The part inside `to`; empty, at the nearest edge, when there is none.

        >>> Span(start_ms=0, end_ms=10).clip(Span(start_ms=4, end_ms=30))
        Span(start_ms=4, end_ms=10)
        """
        start = min(max(self.start_ms, to.start_ms), to.end_ms)
        return Span(start_ms=start, end_ms=max(start, min(self.end_ms, to.end_ms)))


def cover(spans: Iterable[Span]) -> Span:
    """The smallest span that contains all of them.

    Raises:
        ValueError: There are none.
    """
    items = list(spans)
    if not items:
        raise ValueError("no spans to cover")
    return Span(start_ms=min(s.start_ms for s in items), end_ms=max(s.end_ms for s in items))


def union(intervals: Iterable[tuple[Time, Time]], *, touching: bool = True) -> list[tuple[Time, Time]]:
    """What the intervals cover together, as disjoint intervals in order.

    >>> union([(4, 9), (0, 5), (9, 10)])
    [(0, 10)]
    >>> union([(4, 9), (0, 5), (9, 10)], touching=False)
    [(0, 9), (9, 10)]

    Args:
        intervals: Start and end of each, in any order.
        touching: Whether two that only touch are joined.
    """
    found: list[tuple[Time, Time]] = []
    for start, end in sorted(intervals):
        if found and (start < found[-1][1] or (touching and start == found[-1][1])):
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found
