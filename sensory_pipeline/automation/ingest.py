"""An ingest in this process: it makes recordings pending, and runs the job on all that are.

Dagster is imported only if something is pending: the import takes two seconds, longer than listing a source in which
nothing is new.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from sensory_pipeline.automation.ingest_report import IngestReport
from sensory_pipeline.automation.interrupts import watch_interrupts
from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.plans import Plans
from sensory_pipeline.processing.runs.runner import Runner
from sensory_pipeline.processing.setup import runner
from sensory_pipeline.settings import Settings, dagster_home
from sensory_pipeline.storage.local import path_of

if TYPE_CHECKING:
    from dagster import JobDefinition


class Progress(Protocol):
    """Shows how far an ingest is."""

    def begin(self, recordings: int) -> None:
        """The number of pending recordings at the start."""

    def partition(self, names: Mapping[str, str]) -> None:
        """The recordings that are processed next: their names by recording_id."""

    def step(self, stage: Stage, recording_id: str) -> None:
        """A stage has finished a recording."""

    def left(self, recordings: int) -> None:
        """The number of recordings that are still pending after a partition."""


def ingest(
    lake: Lake,
    settings: Settings,
    select: Callable[[Plans], IngestReport],
    make_job: Callable[[Runner], JobDefinition],
    progress: Progress,
) -> IngestReport:
    """Process what is pending.

    Args:
        lake: The lake.
        settings: The settings.
        select: Makes recordings pending first, and returns the report to add to.
        make_job: Returns the job that uses these engines; called only if something is pending.
        progress: Shows how far it is.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed. Finished work is kept.
    """
    if settings.log_level == "WARNING":  # the default: Dagster's warnings do not concern users of the command line
        logging.getLogger("dagster").setLevel(logging.ERROR)
    with watch_interrupts() as interrupted, runner(settings, progress=progress.step) as engines:
        report = select(engines.context.plans)
        if not (pending := _pending(lake)):
            return report
        progress.begin(pending)
        from sensory_pipeline.automation.instance import open_instance
        from sensory_pipeline.automation.run_pending import run_pending

        def run_started(partition: Partition) -> None:
            if report.runs:
                progress.left(_pending(lake))
            if interrupted():
                raise KeyboardInterrupt
            next_ones = (item.recording for item in lake.ledger.pending(partition))
            progress.partition({recording.recording_id: path_of(recording.uri).name for recording in next_ones})

        with open_instance(dagster_home(lake.root)) as instance:
            job = make_job(engines)
            run_pending(lake, job, instance, engines, report, log_level=settings.log_level, run_started=run_started)
        if interrupted():  # Dagster reports at most a failed run
            raise KeyboardInterrupt
        progress.left(report.pending)
    return report


def _pending(lake: Lake) -> int:
    return sum(lake.ledger.pending_partitions().values())
