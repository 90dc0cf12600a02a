"""Runs partitions again whose run was killed and not repeated by Dagster.

Dagster tries to repeat a killed run once, and gives up if its code server does not answer at that moment.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from sensory_pipeline.automation.jobs import process_recordings
from sensory_pipeline.dagster_internals import RUN_FAILURE_REASON_TAG, WILL_RETRY_TAG

RESUMED_TAG = "sensory/resumed"
"""How often in a row this sensor has run a partition again."""
MOST_RESUMPTIONS = 10

_OWN_FAULT = ("STEP_FAILURE", "RUN_EXCEPTION", "JOB_INITIALIZATION_FAILURE")
_LOOK_BACK = timedelta(days=1)


@dg.sensor(
    job=process_recordings,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Runs partitions again whose run was killed, if Dagster has given up on them.",
)
def resumption(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Request runs for partitions whose last run was killed."""
    killed = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE],
        tags={WILL_RETRY_TAG: "false"},
        updated_after=datetime.now(UTC) - _LOOK_BACK,
    )
    requests = [
        dg.RunRequest(
            run_key=run.run_id,
            partition_key=run.tags["dagster/partition"],
            tags={RESUMED_TAG: str(int(run.tags.get(RESUMED_TAG, 0)) + 1)},
        )
        for run in context.instance.get_runs(filters=killed)
        if run.tags.get(RUN_FAILURE_REASON_TAG) not in _OWN_FAULT
        and int(run.tags.get(RESUMED_TAG, 0)) < MOST_RESUMPTIONS
        and _is_last(run, context.instance)
    ]
    yield from requests
    if not requests:
        yield dg.SkipReason("no run was killed and left alone")


def _is_last(run: dg.DagsterRun, instance: dg.DagsterInstance) -> bool:
    """Return whether the run has a partition that was not run since."""
    partition = run.tags.get("dagster/partition")
    if partition is None:
        return False
    latest = instance.get_runs(filters=dg.RunsFilter(tags={"dagster/partition": partition}), limit=1)
    return [other.run_id for other in latest] == [run.run_id]
