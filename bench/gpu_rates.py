"""How fast contenders are on a GPU, and how busy they keep it."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import mean

from rich.console import Console
from rich.table import Table

from sensory_pipeline.engines.activity_log import ActivityLog


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """The speed of one contender.

    Attributes:
        work: What was done, with which model.
        contender: Who did it.
        audio_s: Seconds of audio.
        wall_s: Wall time in seconds, models loaded.
        busy: Mean utilization of the GPU as nvidia-smi reports it, 0 to 1.
        memory_mb: The most memory used on the GPU, in MiB.
        found: Number of words or turns.
        activities_s: Seconds of each activity of our engine, which run side by side.
    """

    work: str
    contender: str
    audio_s: float
    wall_s: float
    busy: float
    memory_mb: float
    found: int
    activities_s: dict[str, float]

    @property
    def hours_an_hour(self) -> float:
        return self.audio_s / self.wall_s


@contextmanager
def watched() -> Iterator[list[tuple[float, float]]]:
    """Yield a list that has, at the end of the block, (utilization in percent, MiB in use) about ten times a second."""
    query = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits", "-lms", "100"]
    watcher = subprocess.Popen(query, stdout=subprocess.PIPE, text=True)
    seen: list[tuple[float, float]] = []
    try:
        yield seen
    finally:
        watcher.terminate()
        lines = watcher.communicate()[0].splitlines()
        for line in lines:
            busy, _, memory = line.partition(",")
            if busy.strip().isdecimal() and memory.strip().isdecimal():
                seen.append((float(busy), float(memory)))


def measured(
    work: str, contender: str, audio_s: float, run: Callable[[], int], activity: ActivityLog | None = None
) -> Rate:
    """Run a contender once, after it was warmed up.

    Args:
        work: What is done.
        contender: Who does it.
        audio_s: Seconds of audio.
        run: Does it and returns the number of words or turns.
        activity: What our engine notes.
    """
    if activity is not None:
        activity.taken()
    with watched() as seen:
        start = time.perf_counter()
        found = run()
        wall_s = time.perf_counter() - start
    sums: Counter[str] = Counter()
    for noted in activity.taken() if activity is not None else ():
        sums[f"{noted.kind}: {noted.what}"] += noted.end_s - noted.start_s  # type: ignore[assignment]
    return Rate(
        work=work,
        contender=contender,
        audio_s=audio_s,
        wall_s=wall_s,
        busy=mean(busy for busy, _ in seen) / 100 if seen else 0.0,
        memory_mb=max((memory for _, memory in seen), default=0.0),
        found=found,
        activities_s={what: round(seconds, 3) for what, seconds in sums.items()},
    )


def show(console: Console, rates: Sequence[Rate]) -> None:
    """Print a row for each contender."""
    table = Table("work", "contender")
    for heading in ("audio s", "wall s", "hours an hour", "GPU busy", "MiB", "found"):
        table.add_column(heading, justify="right")
    for rate in rates:
        figures = f"{rate.audio_s:.0f}", f"{rate.wall_s:.1f}", f"{rate.hours_an_hour:.0f}", f"{rate.busy:.0%}"
        table.add_row(rate.work, rate.contender, *figures, f"{rate.memory_mb:.0f}", f"{rate.found}")
    console.print(table)
