"""Compares the speed of contenders on the same work, in alternation, round by round.

Other load on the machine then affects all of them alike. A ratio is taken within a round: how many times as long one
contender takes as another, in wall-clock time and in CPU time. Thresholds apply to wall-clock time.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.json_report import write_json
from bench.processes import cpu_s

ROUNDS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Seconds of each round: wall-clock time, and CPU time of all cores together."""

    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How many times as fast, over all rounds."""

    median: float
    least: float
    largest: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f} to {self.largest:.2f})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A threshold: how many times as fast one contender must be as another.

    Attributes:
        faster: Name of the one.
        slower: Name of the other.
        at_least: The smallest median ratio; below 1 it says how much slower the one may be.
        never_slower: Whether it must also be at least as fast in every round.
    """

    faster: str
    slower: str
    at_least: float
    never_slower: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a threshold is met.

    Attributes:
        what: The threshold.
        found: The measured figures.
        met: Whether it is met.
    """

    what: str
    found: str
    met: bool

    def show(self, console: Console) -> None:
        console.print(f"{'met' if self.met else 'MISSED'}: {self.what}: {self.found}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The timings of several contenders on the same work.

    Attributes:
        title: What was done, on what.
        audio_s: Seconds of audio.
        threads: Threads that models compute with.
        contenders: Timings by name; the others are compared with the first.
        limits: Thresholds.
        checks: Other conditions, and whether each is met.
        facts: Further figures worth storing.
    """

    title: str
    audio_s: float
    threads: int
    contenders: Mapping[str, Timed]
    limits: tuple[Limit, ...] = ()
    checks: Mapping[str, bool] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)

    def ratio(self, slower: str, faster: str, *, cpu: bool = False) -> Ratio:
        """Return the seconds of one contender divided by those of another.

        Args:
            slower: The one.
            faster: The other.
            cpu: Use CPU time instead of wall-clock time.
        """
        first, second = (
            self.contenders[name].cpu_s if cpu else self.contenders[name].wall_s for name in (slower, faster)
        )
        ratios = [one / other for one, other in zip(first, second, strict=True)]
        return Ratio(median=median(ratios), least=min(ratios), largest=max(ratios))

    def verdicts(self) -> list[Verdict]:
        """Return a verdict for each threshold and check."""
        found = []
        for limit in self.limits:
            ratio = self.ratio(limit.slower, limit.faster)
            what = f"{limit.faster}: at least {limit.at_least:.2f} times as fast as {limit.slower}"
            met = ratio.median >= limit.at_least and not (limit.never_slower and ratio.least < 1)
            found.append(Verdict(what=what + (", never slower" * limit.never_slower), found=str(ratio), met=met))
        return found + [Verdict(what=what, found="yes" if so else "no", met=so) for what, so in self.checks.items()]

    def show(self, console: Console) -> None:
        """Print a row for each contender, and a line for each verdict."""
        first = next(iter(self.contenders))
        table = Table("contender", title=f"{self.title} ({self.audio_s:.0f} s of audio, threads: {self.threads})")
        for heading in ("wall s", "CPU s", "times as fast: wall", "CPU"):
            table.add_column(heading, justify="right")
        for name, timed in self.contenders.items():
            seconds = (f"{median(timed.wall_s):.2f}", f"{median(timed.cpu_s):.2f}")
            table.add_row(name, *seconds, str(self.ratio(first, name)), str(self.ratio(first, name, cpu=True)))
        console.print(table)
        for verdict in self.verdicts():
            verdict.show(console)

    def report(self) -> dict[str, object]:
        """Return every round, the medians, and the ratios to the first contender, for JSON."""
        first = next(iter(self.contenders))
        return {
            "title": self.title,
            "audio_s": self.audio_s,
            "threads": self.threads,
            "facts": dict(self.facts),
            "contenders": {
                name: {
                    "median_wall_s": median(timed.wall_s),
                    "median_cpu_s": median(timed.cpu_s),
                    "times_as_fast_wall": asdict(self.ratio(first, name)),
                    "times_as_fast_cpu": asdict(self.ratio(first, name, cpu=True)),
                    **asdict(timed),
                }
                for name, timed in self.contenders.items()
            },
            "verdicts": [asdict(verdict) for verdict in self.verdicts()],
        }


def benchmark(
    title: str,
    audio_s: float,
    contenders: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    threads: int,
    limits: Sequence[Limit] = (),
    checks: Mapping[str, bool] | None = None,
    facts: Mapping[str, object] | None = None,
) -> Comparison:
    """Run each contender once per round; they must have been warmed up before.

    Args:
        title: What is done, on what.
        audio_s: Seconds of audio.
        contenders: The work of each contender, by name.
        rounds: Number of rounds.
        threads: Threads that models compute with.
        limits: Thresholds.
        checks: Other conditions, and whether each is met.
        facts: Further figures worth storing.
    """
    timed: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in track(range(rounds), title):
        for name, work in contenders.items():
            wall, cpu = time.perf_counter(), cpu_s()
            work()
            timed[name].append((time.perf_counter() - wall, cpu_s() - cpu))
    return Comparison(
        title=title,
        audio_s=audio_s,
        threads=threads,
        contenders={
            name: Timed(wall_s=tuple(wall for wall, _ in values), cpu_s=tuple(cpu for _, cpu in values))
            for name, values in timed.items()
        },
        limits=tuple(limits),
        checks=checks or {},
        facts=facts or {},
    )


def save(path: Path, comparisons: Sequence[Comparison], packages: Sequence[str], **facts: object) -> None:
    """Write comparisons as JSON, with the conditions they were run under.

    Args:
        path: The file.
        comparisons: The comparisons.
        packages: Packages whose versions matter.
        facts: Further figures worth storing.
    """
    report = {**conditions(packages), **facts, "comparisons": [each.report() for each in comparisons]}
    write_json(path, report)


def conditions(packages: Sequence[str]) -> dict[str, object]:
    """Return the machine and the versions, for JSON.

    Args:
        packages: Packages whose versions matter.
    """
    return {
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "gpu": _gpu(),
            "load_1min": os.getloadavg()[0],
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _gpu() -> str | None:
    try:
        import torch
    except ImportError:
        return None
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None
