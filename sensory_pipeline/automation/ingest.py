"""Register what is in a folder or in S3 and materialise what is pending, run after run, in this process.

The runs belong to a real Dagster instance, so its UI shows them beside those it launched itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import dagster as dg

from sensory_pipeline.automation.discovery import sweep
from sensory_pipeline.automation.orphans import fail_orphans, this_process
from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.ledger import Registration
from sensory_pipeline.processing.plans import Plans
from sensory_pipeline.processing.runs.runner import Runner
from sensory_pipeline.storage.sources import prefix_of

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Events go to the instance, where the UI shows them; the summary tells of failures."""


@dataclass(slots=True, kw_only=True)
class IngestReport:
    """What an ingest did, in recordings. registration, missing, emptied: of the sweep, as is passed_over: how many
    files and folders of which kind are no recordings; partial: published, and damaged;
    computed: by stage; errors: by class; audio_hours: published; runs: Dagster runs, and run_failures the
    reasons of those that failed."""

    registration: Registration = field(default_factory=lambda: Registration(new=0, changed=0, stale=0, unchanged=0))
    missing: int = 0
    emptied: int = 0
    passed_over: Mapping[str, int] = field(default_factory=dict)
    published: int = 0
    failed: int = 0
    partial: int = 0
    pending: int = 0
    audio_hours: float = 0.0
    runs: int = 0
    computed: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    run_failures: list[str] = field(default_factory=list)

    @property
    def found(self) -> int:
        """Recordings that the listing has."""
        found = self.registration
        return found.new + found.changed + found.stale + found.unchanged


def register(lake: Lake, plans: Plans, source: str, *, retry_failed: bool, gone: bool = False) -> IngestReport:
    """Bring the ledger up to date with a source; returns what was found.

    plans: what was published under another is pending again; gone: as for `sweep`.
    """
    for partition in lake.ledger.pending_partitions():
        lake.ledger.catch_up(lake.manifest(partition))
    swept = sweep(lake, plans, source, gone=gone)
    if retry_failed:
        lake.ledger.retry_failed(prefix_of(source))
    return IngestReport(
        registration=swept.registration, missing=swept.missing, emptied=swept.emptied, passed_over=swept.passed_over
    )


def ingest(
    lake: Lake,
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    runner: Runner,
    report: IngestReport,
    *,
    run_started: Callable[[Partition, int], None],
) -> None:
    """Run the job on every partition with something pending, until nothing more comes of it.

    runner: that the job has for its engines, and whose reports are added up.
    """
    fail_orphans(instance)
    while True:
        waiting = lake.ledger.pending_partitions()
        for partition in waiting:
            run_started(partition, waiting[partition])
            _run(job, instance, partition, runner, report)
        left = lake.ledger.pending_partitions()
        report.pending = sum(left.values())
        if report.pending >= sum(waiting.values()):
            return


def _run(
    job: dg.JobDefinition, instance: dg.DagsterInstance, partition: Partition, runner: Runner, report: IngestReport
) -> None:
    result = job.execute_in_process(
        instance=instance,
        partition_key=dg.MultiPartitionKey({"date": partition.date.isoformat(), "shard": str(partition.shard)}),
        tags=this_process(),
        run_config=QUIET,
        raise_on_error=False,
    )
    report.runs += 1
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            while error is not None and error.cause is not None:
                error = error.cause
            report.run_failures.append(error.message.strip() if error else str(event.message))
        elif event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            if not check.passed and check.severity is dg.AssetCheckSeverity.ERROR:
                rules = {name: entry.value for name, entry in check.metadata.items()}
                report.run_failures.append(f"the tables of partition {partition.key} break their rules: {rules}")
        elif event.is_step_materialization:
            _add(report, runner, event.step_materialization_data.materialization.asset_key.to_user_string())


def _add(report: IngestReport, runner: Runner, asset: str) -> None:
    """An asset was materialised: add what the runner did for it."""
    if asset in set(Stage):
        stage = runner.stage_reports[Stage(asset)]
        report.computed[asset] = report.computed.get(asset, 0) + stage.computed
        return
    published = runner.publication
    assert published is not None
    report.published += published.published
    report.failed += published.failed
    report.partial += published.partial
    report.audio_hours += published.audio_s / 3600
    for kind, count in published.errors.items():
        report.errors[kind] = report.errors.get(kind, 0) + count
