"""What each engine process of a run did when, and where the device had nothing to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from sensory_pipeline.core.spans import union

Kind = Literal["device", "host", "waiting"]
"""Device is a model that computes, on a GPU or on the CPU. Host is work around that, such as decoding. Waiting is for
the next recording."""

SHORTEST_IDLE_S = 0.05
"""A shorter pause of the device is the normal gap between two calls."""
_MOST_IDLE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Something a process did.

    Attributes:
        lane: Which process, such as "transcripts".
        kind: What it used.
        what: What it did, in a word, such as "whisper".
        start_s: Seconds since 1970.
        end_s: Seconds since 1970.
    """

    lane: str
    kind: Kind
    what: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """A pause of the device, in seconds since 1970."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """All activities of a run.

    Attributes:
        activities: In order of lane and time.
    """

    activities: tuple[Activity, ...]

    @property
    def start_s(self) -> float:
        return min(activity.start_s for activity in self.activities)

    @property
    def end_s(self) -> float:
        return max(activity.end_s for activity in self.activities)

    @property
    def lanes(self) -> tuple[str, ...]:
        """The lanes in order of their first activity."""
        ordered = sorted(self.activities, key=lambda activity: activity.start_s)
        return tuple(dict.fromkeys(activity.lane for activity in ordered))

    def busy_s(self, *kinds: Kind) -> float:
        """Seconds in which at least one process did something of these kinds."""
        return sum(end - start for start, end in self._busy(*kinds))

    def _busy(self, *kinds: Kind) -> list[tuple[float, float]]:
        return union((activity.start_s, activity.end_s) for activity in self.activities if activity.kind in kinds)

    def idle(self) -> tuple[Idle, ...]:
        """The pauses of the device between the first activity of any kind and the last."""
        edges = [(self.start_s, self.start_s), *self._busy("device"), (self.end_s, self.end_s)]
        pauses = [(before[1], after[0]) for before, after in pairwise(edges)]
        return tuple(Idle(start_s=start, end_s=end) for start, end in pauses if end - start >= SHORTEST_IDLE_S)

    def meanwhile(self, pause: Idle) -> tuple[str, ...]:
        """What the host did during a pause, such as "normalized_audio 1: decoding"."""
        found = (
            f"{activity.lane}: {activity.what}"
            for activity in self.activities
            if activity.kind == "host" and activity.start_s < pause.end_s and pause.start_s < activity.end_s
        )
        return tuple(dict.fromkeys(found))

    def as_json(self, *, most: int) -> dict[str, object]:
        """The timeline as a JSON value, in seconds from its start.

        Args:
            most: About how many activities at most. Of the device's pauses, only the longest are included.
        """
        pauses = sorted(self.idle(), key=lambda pause: pause.start_s - pause.end_s)[:_MOST_IDLE]
        return {
            "start_s": round(self.start_s, 3),
            "seconds": round(self.end_s - self.start_s, 3),
            "device_busy_s": round(self.busy_s("device"), 3),
            "any_busy_s": round(self.busy_s("device", "host"), 3),
            "device_idle": [
                {
                    "start_s": round(pause.start_s - self.start_s, 3),
                    "end_s": round(pause.end_s - self.start_s, 3),
                    "meanwhile": list(self.meanwhile(pause)),
                }
                for pause in sorted(pauses, key=lambda pause: pause.start_s)
            ],
            "activities": [
                [a.lane, a.kind, a.what, round(a.start_s - self.start_s, 3), round(a.end_s - self.start_s, 3)]
                for a in condensed(self.activities, most=most)
            ],
        }


def condensed(activities: Iterable[Activity], *, most: int) -> tuple[Activity, ...]:
    """About `most` activities at most: repeated ones of a process are joined, over longer and longer pauses.

    >>> made = [Activity(lane="a", kind="device", what="x", start_s=s, end_s=s + 0.9) for s in range(100)]
    >>> [(a.start_s, round(a.end_s, 1)) for a in condensed(made, most=10)]
    [(0, 99.9)]
    """
    found = sorted(activities, key=lambda a: (a.lane, a.kind, a.what, a.start_s))
    pause_s, longest_s = 0.02, 86400
    while len(found) > most and pause_s < longest_s:
        found = _joined(found, pause_s)
        pause_s *= 2
    return tuple(sorted(found, key=lambda a: (a.lane, a.start_s)))


def _joined(activities: Sequence[Activity], pause_s: float) -> list[Activity]:
    found: list[Activity] = []
    for activity in activities:
        last = found[-1] if found else None
        if (
            last
            and (last.lane, last.kind, last.what) == (activity.lane, activity.kind, activity.what)
            and activity.start_s - last.end_s <= pause_s
        ):
            end_s = max(last.end_s, activity.end_s)
            found[-1] = Activity(lane=last.lane, kind=last.kind, what=last.what, start_s=last.start_s, end_s=end_s)
        else:
            found.append(activity)
    return found
