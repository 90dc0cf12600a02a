"""Every run gets a device that exists, however it was created."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import (  # noqa: TID251 - none other makes the origin of a run
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.test_utils import create_run_for_test  # noqa: TID251

from resources.engines import DEVICE_TAG
from sensory_pipeline.automation.coordinator import DeviceRunCoordinator, device_for
from sensory_pipeline.automation.instance import open_instance
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.device_discovery import run_devices

DEVICES = ["cpu:0", "cpu:1", "cpu:2"]
ORIGIN = RemoteJobOrigin(
    repository_origin=RemoteRepositoryOrigin(
        code_location_origin=RegisteredCodeLocationOrigin("sensory_pipeline.definitions"),
        repository_name="__repository__",
    ),
    job_name="process_recordings",
)


@pytest.mark.parametrize(
    "tags",
    [
        {"dagster/partition/shard": "5", "dagster/partition/date": "2026-11-13", "dagster/partition": "2026-11-13|5"},
        {"dagster/partition": "2026-11-13|5"},
        {"dagster/asset_partition_range_start": "2026-11-13|5", "dagster/asset_partition_range_end": "2026-11-14|5"},
    ],
    ids=["backfill", "GraphQL", "range"],
)
def test_the_shard_decides(tags: dict[str, str]) -> None:
    assert device_for(tags, DEVICES) == "cpu:2"


def test_a_run_without_a_shard_gets_the_first() -> None:
    assert device_for({}, DEVICES) == "cpu:0"
    assert device_for({"dagster/partition": "no shard"}, DEVICES) == "cpu:0"


@pytest.mark.parametrize(("before", "after"), [(None, "cpu:1"), ("cpu:2", "cpu:2"), ("cuda:7", "cpu:1")])
def test_a_run_is_tagged_unless_its_device_is_there(
    before: str | None, after: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENSORY_DEVICES", ",".join(DEVICES))

    tags = {"dagster/partition": "2026-11-13|4", **({DEVICE_TAG: before} if before else {})}
    with open_instance(tmp_path / "home") as instance:
        coordinator = instance.run_coordinator
        assert isinstance(coordinator, DeviceRunCoordinator)
        queue = coordinator.get_run_queue_config()
        assert queue.max_concurrent_runs == len(DEVICES)
        assert queue.tag_concurrency_limits == [
            {"key": DEVICE_TAG, "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
        ]
        run = create_run_for_test(instance, tags=tags, remote_job_origin=ORIGIN)
        submitted = coordinator.submit_run(dg.SubmitRunContext(run, workspace=None))  # type: ignore[arg-type]
        assert submitted.tags[DEVICE_TAG] == after
        assert submitted.status is dg.DagsterRunStatus.QUEUED


def test_devices_of_runs() -> None:
    assert [device.name for device in run_devices("cpu:0, cpu:1", None)] == ["cpu:0", "cpu:1"]
    assert [device.name for device in run_devices("cpu", None)] == ["cpu"]
    assert [device.name for device in run_devices("auto", "")] == ["cpu"]


@pytest.mark.parametrize("wrong", ["cuda:99", "64", "0", "cpu:0,cpu:0", "tpu", ""])
def test_devices_that_are_not_there_are_refused(wrong: str) -> None:
    with pytest.raises(ConfigurationError):
        run_devices(wrong, "")
