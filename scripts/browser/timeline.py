"""Which run had which device when: the rules that a backfill over several devices must follow, and a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

RUNS = """{ runsOrError { ... on Runs { results {
  runId status startTime endTime tags { key value }
  eventConnection { events { __typename ... on MessageEvent { timestamp } } }
} } } }"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A run that had a device.

    Attributes:
        partition: Its partition.
        device: Its device.
        queued: When it was queued, in seconds since 1970.
        taken: When it was taken from the queue.
        began: When it began.
        ended: When it ended.
    """

    partition: str
    device: str
    queued: float
    taken: float
    began: float
    ended: float


def held(run: Mapping[str, Any]) -> Held:
    """Convert a finished run from the answer to RUNS."""
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    times = {event["__typename"]: int(event["timestamp"]) / 1000 for event in run["eventConnection"]["events"]}
    return Held(
        partition=tags["dagster/partition"],
        device=tags["sensory/device"],
        queued=times["RunEnqueuedEvent"],
        taken=times["RunStartingEvent"],
        began=run["startTime"],
        ended=run["endTime"],
    )


def meetings(runs: Sequence[Held]) -> list[tuple[Held, Held]]:
    """Return the pairs of runs that had one device at the same time; there should be none."""
    return [(one, other) for one, other in _followers(runs) if other.taken < one.ended]


def waits(runs: Sequence[Held]) -> list[float]:
    """Return for how many seconds a device was free while a run for it was queued, after each run.

    The daemon reads its queue every five seconds and then starts runs one after the other.
    """
    return [other.taken - max(one.ended, other.queued) for one, other in _followers(runs)]


def overlooked(runs: Sequence[Held]) -> list[Held]:
    """Return the runs that waited for a free device while another device got two runs that were queued later.

    When the device becomes free, the daemon may be starting a run elsewhere. But the next time it reads the queue, the
    older run must be the first, so there should be none.
    """
    found = []
    for one, other in _followers(runs):
        later = Counter(run.device for run in runs if run.queued > other.queued and one.ended < run.taken < other.taken)
        if other.queued < one.ended and max(later.values(), default=0) > 1:
            found.append(other)
    return found


def draw(runs: Sequence[Held], path: Path) -> None:
    """Draw the runs of each device over time, with their partitions; light while a run is starting."""
    devices = sorted({run.device for run in runs})
    figure = Figure(figsize=(12, 0.7 * len(devices) + 1.1), dpi=100, layout="constrained")
    axes = figure.subplots()
    first = min(run.taken for run in runs)
    for run in runs:
        row = devices.index(run.device)
        taken, began, ended = (at - first for at in (run.taken, run.began, run.ended))
        axes.barh(row, began - taken, left=taken, color="#b9d2ea", height=0.7)
        axes.barh(row, ended - began, left=began, color="#3b82c4", height=0.7)
        day, _, shard = run.partition.partition("|")
        label = f"{day[5:]}\n{shard}"
        axes.text((began + ended) / 2, row, label, ha="center", va="center", fontsize=7, color="white")
    axes.set_yticks(range(len(devices)), devices)
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    axes.set_title(f"{len(runs)} runs on {len(devices)} devices; light: a run is starting; within: date and shard")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _followers(runs: Sequence[Held]) -> list[tuple[Held, Held]]:
    """Return each run with the next one on its device."""
    ordered = sorted(runs, key=lambda run: (run.device, run.taken))
    return [(one, other) for one, other in pairwise(ordered) if one.device == other.device]
