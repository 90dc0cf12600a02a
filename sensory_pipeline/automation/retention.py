"""Deletes old runs with their events and logs, so that an instance does not grow for ever.

What Dagster knows of a partition, such as whether it is materialised, is stored in the events of the runs that
materialised it last. Those runs are kept: at most as many per partition as there are assets.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from sensory_pipeline.automation.runs import ENDED
from sensory_pipeline.dagster_internals import event_files
from sensory_pipeline.settings import Settings

MOST_AT_ONCE = 200
"""Runs that are deleted at once, which takes about ten seconds; the next hour deletes more."""
_BATCH = 500


def retention(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor that deletes old runs."""

    @dg.sensor(
        name="retention",
        minimum_interval_seconds=3600,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Deletes runs older than SENSORY_KEEP_RUNS_DAYS, except the last of each partition.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        before = datetime.now(UTC) - timedelta(days=settings.keep_runs_days)
        deleted = delete_runs(context.instance, before=before)
        return dg.SkipReason(f"{deleted} runs deleted")

    return sensor


def delete_runs(instance: dg.DagsterInstance, *, before: datetime) -> int:
    """Delete the oldest finished runs that are not needed.

    Args:
        instance: Dagster's instance.
        before: Only runs that were created before this moment.

    Returns:
        How many were deleted.
    """
    old = instance.get_run_ids(filters=dg.RunsFilter(statuses=ENDED, created_before=before))
    needed = _last_materializations(instance) if old else set()
    deletable = [run_id for run_id in reversed(old) if run_id not in needed][:MOST_AT_ONCE]
    for run_id in deletable:
        _delete(instance, run_id)
    return len(deletable)


def _last_materializations(instance: dg.DagsterInstance) -> set[str]:
    """Return the runs that were the last to materialise an asset, in each partition or without one."""
    runs: set[str] = set()
    for key in instance.all_asset_keys():
        latest = instance.get_latest_materialization_event(key)
        runs |= {latest.run_id} if latest else set()
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        ids = list(instance.event_log_storage.get_latest_storage_id_by_partition(key, kind).values())
        for start in range(0, len(ids), _BATCH):
            runs |= _runs_of(instance, ids[start : start + _BATCH])
    return runs


def _runs_of(instance: dg.DagsterInstance, storage_ids: Sequence[int]) -> set[str]:
    filters = dg.EventRecordsFilter(dg.DagsterEventType.ASSET_MATERIALIZATION, storage_ids=storage_ids)
    return {record.event_log_entry.run_id for record in instance.event_log_storage.get_event_records(filters)}


def _delete(instance: dg.DagsterInstance, run_id: str) -> None:
    instance.delete_run(run_id)
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    for path in event_files(instance, run_id):
        path.unlink()
