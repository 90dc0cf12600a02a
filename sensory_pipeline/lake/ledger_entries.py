"""What the ledger answers: what is pending, and what a listing brought."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sensory_pipeline.core.recordings import Partition, Recording
from sensory_pipeline.core.stages import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A recording that waits to be processed, and how often that was tried.

    Attributes:
        recording: The recording.
        attempts: How often it was started without a known end.
        crashes: How often its process died or hung.
        note: Why the last attempt had no result.
        failures_reset_at: Stages that failed before this moment are tried again (naive UTC).
        redo_before: Results of `redo_stages` from before this moment are made again (naive UTC).
        redo_stages: Stages to make again.
    """

    recording: Recording
    attempts: int
    crashes: int
    note: str | None
    failures_reset_at: datetime | None
    redo_before: datetime | None
    redo_stages: frozenset[Stage]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a listing brought, as counts of objects.

    Attributes:
        new: Not in the ledger before.
        changed: Have another version than before.
        stale: Were published under other settings.
        unchanged: Need no work.
    """

    new: int
    changed: int
    stale: int
    unchanged: int

    def __add__(self, other: Registration) -> Registration:
        return Registration(
            new=self.new + other.new,
            changed=self.changed + other.changed,
            stale=self.stale + other.stale,
            unchanged=self.unchanged + other.unchanged,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What is pending in a partition.

    Attributes:
        partition: The partition.
        recordings: Number of pending recordings.
        deferred: How many of them were tried and put off, for example because their source did not answer.
        size_bytes: Their size in their source.
        since: When the first of them became pending or was last tried (UTC).
        changed: The same for the last of them (UTC).
    """

    partition: Partition
    recordings: int
    deferred: int
    size_bytes: int
    since: datetime
    changed: datetime
