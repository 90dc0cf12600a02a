"""Runs the job on everything pending, run after run, in this process.

The runs belong to a real Dagster instance, so its UI shows them together with all others.
"""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg

from sensory_pipeline.assets.partitions import partition_key
from sensory_pipeline.automation.ingest_report import IngestReport
from sensory_pipeline.automation.interrupts import keep_sigterm
from sensory_pipeline.automation.jobs import SOURCE_TAG
from sensory_pipeline.automation.orphans import fail_orphans, this_process
from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.runs.reports import PublicationReport
from sensory_pipeline.processing.runs.runner import Runner


def _console(level: str) -> dict[str, object]:
    """Return run config for the console, which shows Dagster's lines only if the level is lower than the default.

    Events go to the instance, where the UI shows them; the summary lists failures.
    """
    shown = level if level in ("DEBUG", "INFO") else "CRITICAL"
    return {"loggers": {"console": {"config": {"log_level": shown}}}}


def run_pending(
    lake: Lake,
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    runner: Runner,
    report: IngestReport,
    *,
    log_level: str = "WARNING",
    run_started: Callable[[Partition], None],
) -> None:
    """Run the job on every partition that has pending recordings, until a round leaves as many pending as before.

    Args:
        lake: The lake.
        job: The job.
        instance: Dagster's instance.
        runner: The job's engines resource, whose reports are added up.
        report: The report to add to.
        log_level: LOG_LEVEL.
        run_started: Called with the partition before each run.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    fail_orphans(instance)
    while True:
        waiting = lake.ledger.pending_partitions()
        for partition in waiting:
            run_started(partition)
            try:
                _run(job, instance, partition, runner, report, log_level)
            except dg.DagsterExecutionInterruptedError:
                raise KeyboardInterrupt from None
            if any(dg.DagsterExecutionInterruptedError.__name__ in failure for failure in report.run_failures):
                raise KeyboardInterrupt
        left = lake.ledger.pending_partitions()
        report.pending = sum(left.values())
        if report.pending >= sum(waiting.values()):
            return


def _run(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    partition: Partition,
    runner: Runner,
    report: IngestReport,
    log_level: str,
) -> None:
    runner.publication = None
    with keep_sigterm():
        result = job.execute_in_process(
            instance=instance,
            partition_key=partition_key(partition),
            tags={**this_process(), **({SOURCE_TAG: report.source} if report.source else {})},
            run_config=_console(log_level),
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
            asset = event.step_materialization_data.materialization.asset_key.to_user_string()
            if asset in set(Stage):
                report.computed[asset] = report.computed.get(asset, 0) + runner.stage_reports[Stage(asset)].computed
    if runner.publication is not None:  # also after a failed run
        _add(report, runner.publication)


def _add(report: IngestReport, published: PublicationReport) -> None:
    report.published += published.published
    report.failed += published.failed
    report.partial += published.partial
    report.audio_hours += published.audio_s / 3600
    for kind, count in published.errors.items():
        report.errors[kind] = report.errors.get(kind, 0) + count
