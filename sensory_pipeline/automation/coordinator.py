"""One run per device: every run is tagged with its device before it is queued, and a device runs one at a time.

The device depends on the run's shard, so all runs of a shard use the same device, one after the other. Backfills,
schedules, sensors, GraphQL and retries all go through this queue.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from dagster import DagsterRun, DagsterRunStatus, Field, IntSource, QueuedRunCoordinator, SubmitRunContext

from resources.engines import DEVICE_TAG
from sensory_pipeline.automation.runs import partition_of
from sensory_pipeline.dagster_internals import ConfigurableClassData, UserConfigSchema
from sensory_pipeline.engines.device_discovery import run_devices
from sensory_pipeline.settings import Settings, visible_devices


class DeviceRunCoordinator(QueuedRunCoordinator[Any]):
    """A run queue with one place for each device of SENSORY_DEVICES."""

    def __init__(
        self, dequeue_interval_seconds: int | None = None, inst_data: ConfigurableClassData | None = None
    ) -> None:
        settings = Settings()
        devices = run_devices(settings.devices, visible_devices(), elsewhere=settings.steps_elsewhere)
        self._devices = [device.name for device in devices]
        super().__init__(
            max_concurrent_runs=len(self._devices),
            tag_concurrency_limits=[{"key": DEVICE_TAG, "value": {"applyLimitPerUniqueValue": True}, "limit": 1}],
            dequeue_interval_seconds=dequeue_interval_seconds,
            # retries while the code server restarts; a run that it was starting appears in less than the delay
            max_user_code_failure_retries=30,
            user_code_failure_retry_delay=10,
            inst_data=inst_data,
        )

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {"dequeue_interval_seconds": Field(config=IntSource, is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        return cls(inst_data=inst_data, **config_value)

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Queue a run; tag it with a device unless it already has one that exists, as a retry has."""
        run = context.dagster_run
        if run.status is DagsterRunStatus.NOT_STARTED and run.tags.get(DEVICE_TAG) not in self._devices:
            self._instance.add_run_tags(run.run_id, {DEVICE_TAG: device_for(run.tags, self._devices)})
        return super().submit_run(context)


def device_for(tags: Mapping[str, str], devices: Sequence[str]) -> str:
    """Return the device of a run with these tags; the first device if they name no shard.

    The shard is a tag of its own, or in the partition's key, or, for a run over a range of partitions, in the range's
    first key; this depends on what created the run.

    >>> [device_for({"dagster/partition": f"2026-11-13|{shard}"}, ["cuda:0", "cuda:1"]) for shard in (2, 5)]
    ['cuda:0', 'cuda:1']
    """
    shard = tags.get("dagster/partition/shard") or partition_of(tags).rpartition("|")[2]
    return devices[int(shard) % len(devices)] if shard.isdecimal() else devices[0]
