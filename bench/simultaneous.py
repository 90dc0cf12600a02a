"""How many live streams at once get their words in time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from bench.streamed import Streamed, spread, streamed
from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform

SECONDS = 60.0
"""Length of each stream."""
MOST = 32
"""Streams that are tried at most."""
_APART_S = 0.37  # between the starts of two streams, so that they do not step together


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A number of streams at once.

    Attributes:
        streams: The number.
        words: Number of final words of all streams.
        final_s: Median and 95th percentile of the latency of final words in seconds.
        partial_s: The same, until words first appeared as partial ones.
        behind_s: Seconds from the end of the sound to the end of the stream, for the last stream to end.
    """

    streams: int
    words: int
    final_s: tuple[float, float]
    partial_s: tuple[float, float]
    behind_s: float

    @classmethod
    def of(cls, found: Sequence[Streamed]) -> Level:
        """Sum up the streams of a level."""
        return cls(
            streams=len(found),
            words=sum(len(each.final_s) for each in found),
            final_s=spread([each.final_s for each in found]),
            partial_s=spread([each.partial_s for each in found]),
            behind_s=max(each.behind_s for each in found),
        )


def levels(url: str, sounds: Sequence[Waveform], *, seconds: float, limit_s: float) -> Iterator[Level]:
    """Yield one stream, two at once, three at once, until the median latency of final words exceeds the limit.

    Args:
        url: URL of the service.
        sounds: What is said; each stream has them all in another order, again and again.
        seconds: Length of each stream.
        limit_s: The limit in seconds.

    Raises:
        ServiceError: The service refused or ended a stream.
    """
    for count in range(1, MOST + 1):
        with ThreadPoolExecutor(count) as threads:
            asked = [threads.submit(_later, url, _said(sounds, number, seconds), number) for number in range(count)]
            level = Level.of([each.result() for each in asked])
        yield level
        if level.final_s[0] > limit_s:
            return


def most_at_once(found: Sequence[Level], limit_s: float) -> int:
    """Return the largest number of streams whose final words came in time, by their median.

    >>> slow = Level(streams=2, words=9, final_s=(2.5, 4.0), partial_s=(1.0, 2.0), behind_s=1.0)
    >>> most_at_once([slow], limit_s=2.0), most_at_once([slow], limit_s=3.0)
    (0, 2)
    """
    return max((level.streams for level in found if level.final_s[0] <= limit_s), default=0)


def levels_table(found: Sequence[Level]) -> Table:
    """Return a table with a row for each number of streams."""
    shown = Table()
    for column in ("streams", "final words", "final, median", "p95", "partial, median", "p95", "behind at the end, s"):
        shown.add_column(column, justify="right")
    for level in found:
        latencies = (f"{seconds:.2f}" for seconds in (*level.final_s, *level.partial_s))
        shown.add_row(str(level.streams), str(level.words), *latencies, f"{level.behind_s:.2f}")
    return shown


def _later(url: str, sound: Waveform, number: int) -> Streamed:
    time.sleep(number * _APART_S)
    return streamed(url, sound, name=f"stream {number}")


def _said(sounds: Sequence[Waveform], number: int, seconds: float) -> Waveform:
    """What a stream says: all sounds from another one on, over and over."""
    first = number % len(sounds)
    once = np.concatenate([sound.samples for sound in (*sounds[first:], *sounds[:first])], axis=1)
    return Waveform(samples=np.resize(once, (1, round(seconds * SAMPLE_RATE))))
