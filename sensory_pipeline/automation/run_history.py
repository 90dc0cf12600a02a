"""The runs of a lake as Dagster's instance has them, and those in progress; changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from sensory_pipeline.automation.instance import open_instance
from sensory_pipeline.automation.notifications import causes
from sensory_pipeline.automation.runs import ENDED, UNFINISHED, partition_of
from sensory_pipeline.dagster_internals import schedule_execution_time_iterator
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage.lock import held

MOST = 5
"""Runs shown of those that ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """One run.

    Attributes:
        run_id: Its id in Dagster.
        partition: "date|shard", or the first of a range.
        status: Dagster's name of its status, in lower case.
        began: When it started.
        seconds: How long it took, or has taken so far.
        why: What failed.
    """

    run_id: str
    partition: str
    status: str
    began: datetime
    seconds: float
    why: tuple[str, ...]

    @property
    def ended(self) -> datetime:
        """When it ended, or was read."""
        return self.began + timedelta(seconds=self.seconds)

    def line(self) -> str:
        """Return a line about the run, for the console."""
        took = timedelta(seconds=round(self.seconds))
        return ": ".join([f"run {self.run_id[:8]}, partition {self.partition}, {self.status} after {took}", *self.why])


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The runs of a lake.

    Attributes:
        now: Runs that are queued or running.
        last: The last runs that ended, the newest first.
        served: Whether `sensory dev` runs on this host.
    """

    now: Sequence[PastRun]
    last: Sequence[PastRun]
    served: bool


def history(home: Path) -> History:
    """Return the runs of the instance in a folder."""
    with open_instance(home) as instance:
        now = instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED))
        last = instance.get_run_records(dg.RunsFilter(statuses=ENDED), limit=MOST)
        return History(
            now=[_past(instance, record) for record in now],
            last=[_past(instance, record) for record in last],
            served=_served(home),
        )


def ended_since(instance: dg.DagsterInstance, moment: datetime) -> list[PastRun]:
    """Return the runs that ended after a moment, in order."""
    records = instance.get_run_records(dg.RunsFilter(statuses=ENDED, updated_after=moment))
    runs = [_past(instance, record) for record in records if (record.end_time or 0) > moment.timestamp()]
    return sorted(runs, key=lambda run: run.ended)


def next_night(settings: Settings) -> datetime:
    """Return when the nightly schedule is due next, in its time zone."""
    return next(schedule_execution_time_iterator(datetime.now(UTC).timestamp(), settings.nightly, settings.time_zone))


def _past(instance: dg.DagsterInstance, record: dg.RunRecord) -> PastRun:
    run = record.dagster_run
    began = record.start_time or record.create_timestamp.timestamp()
    failed = run.status is dg.DagsterRunStatus.FAILURE
    return PastRun(
        run_id=run.run_id,
        partition=partition_of(run.tags),
        status=run.status.value.lower(),
        began=datetime.fromtimestamp(began, UTC),
        seconds=(record.end_time or datetime.now(UTC).timestamp()) - began,
        why=tuple(causes(instance, run.run_id)) if failed else (),
    )


def _served(home: Path) -> bool:
    try:
        with held(home / "services.lock", what="Dagster on this lake", wait=False):
            return False
    except BlockingIOError:
        return True
