"""Which run had which device when: the rules that a backfill over several devices has to keep, and a picture."""

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
    """A run that had a device. Seconds since 1970: queued, taken from the queue, begun, ended."""

    partition: str
    device: str
    queued: float
    taken: float
    began: float
    ended: float


def held(run: Mapping[str, Any]) -> Held:
    """From a run as RUNS asks for it, once it has ended."""
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
    """Runs that had one device at once: there should be none."""
    return [(one, other) for one, other in _followers(runs) if other.taken < one.ended]


def waits(runs: Sequence[Held]) -> list[float]:
    """Seconds that a device was free while a run for it was queued, from the end of the run before.

    The daemon looks at its queue every five seconds and then starts runs one after the other.
    """
    return [other.taken - max(one.ended, other.queued) for one, other in _followers(runs)]


def overlooked(runs: Sequence[Held]) -> list[Held]:
    """Runs that waited for a device that was free while another device got two runs that were queued later.

    The daemon may be starting a run elsewhere when the device comes free, but with its next look at the
    queue the older run has to be the first: there should be none.
    """
    found = []
    for one, other in _followers(runs):
        later = Counter(run.device for run in runs if run.queued > other.queued and one.ended < run.taken < other.taken)
        if other.queued < one.ended and max(later.values(), default=0) > 1:
            found.append(other)
    return found


def draw(runs: Sequence[Held], path: Path) -> None:
    """Runs by device over time, with their partitions; light where a run is still starting."""
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
    """Each run with the next on its device."""
    ordered = sorted(runs, key=lambda run: (run.device, run.taken))
    return [(one, other) for one, other in pairwise(ordered) if one.device == other.device]
