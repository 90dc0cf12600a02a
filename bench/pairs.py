"""Contenders for the same work, one after the other, round by round, in one process.

What else the machine does then meets all of them alike. A ratio is the median over rounds of how many
times as long as another one takes, in seconds of the clock and of the processor.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

from rich.progress import track
from rich.table import Table

ROUNDS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Seconds of each round: of the clock, and of all processors together."""

    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """title: what was done, on what; audio_s: how long that is; contenders: by name, in order."""

    title: str
    audio_s: float
    contenders: Mapping[str, Timed]

    def ratio(self, slower: str, faster: str, *, cpu: bool = False) -> float:
        """How many times as long the first takes."""
        pairs = [self.contenders[name].cpu_s if cpu else self.contenders[name].wall_s for name in (slower, faster)]
        ratio: float = median(first / second for first, second in zip(*pairs, strict=True))
        return ratio

    def table(self) -> Table:
        """One row a contender; the first is what the others are compared with."""
        first = next(iter(self.contenders))
        table = Table("contender", title=f"{self.title} ({self.audio_s:.0f} s of audio)")
        for heading in ("wall s", "CPU s", "times as fast: wall", "CPU"):
            table.add_column(heading, justify="right")
        for name, timed in self.contenders.items():
            ratios = (self.ratio(first, name), self.ratio(first, name, cpu=True))
            times = (median(timed.wall_s), median(timed.cpu_s))
            table.add_row(name, *(f"{value:.2f}" for value in (*times, *ratios)))
        return table


def race(title: str, audio_s: float, contenders: Mapping[str, Callable[[], object]], rounds: int = ROUNDS) -> Race:
    """Each contender once a round, in turn; those who need to warm up have done so before."""
    timed: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in track(range(rounds), title):
        for name, work in contenders.items():
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            timed[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return Race(
        title=title,
        audio_s=audio_s,
        contenders={
            name: Timed(wall_s=tuple(wall for wall, _ in values), cpu_s=tuple(cpu for _, cpu in values))
            for name, values in timed.items()
        },
    )


def save(path: Path, races: Sequence[Race], packages: Sequence[str], **facts: object) -> None:
    """JSON of the races with what they were run on. packages: whose versions matter."""
    report = {
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "load_1min": os.getloadavg()[0],
            "threads": _threads(),
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        **facts,
        "races": [asdict(race) for race in races],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _threads() -> int:
    import torch

    return torch.get_num_threads()
