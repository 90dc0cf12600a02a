"""A partition whose run was killed is run again, even where Dagster has given it up."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from sensory_pipeline.automation.instance import open_instance
from sensory_pipeline.automation.resumption import MOST_RESUMPTIONS, RESUMED_TAG, resumption
from sensory_pipeline.definitions import defs


def failed(instance: dg.DagsterInstance, partition: str, **tags: str) -> str:
    """A run that ended in failure; dagster_x in a tag's name stands for dagster/x."""
    job = defs().resolve_job_def("process_recordings")
    named = {"dagster/will_retry": "false", "dagster/partition": partition}
    run = instance.create_run_for_job(
        job,
        tags={**named, **{name.replace("_", "/", 1): value for name, value in tags.items()}},
        status=dg.DagsterRunStatus.FAILURE,
    )
    return run.run_id


def test_a_run_that_was_killed_and_given_up_is_run_again_once(tmp_path: Path) -> None:
    day = "2026-11-22"
    with open_instance(tmp_path / "home") as instance:
        given_up = failed(instance, f"{day}|0")
        failed(instance, f"{day}|1", dagster_failure_reason="STEP_FAILURE")
        failed(instance, f"{day}|2", dagster_will_retry="true")
        failed(instance, f"{day}|3", **{RESUMED_TAG.replace("/", "_", 1): str(MOST_RESUMPTIONS)})
        failed(instance, f"{day}|4")
        twice = failed(instance, f"{day}|4", dagster_failure_reason="START_TIMEOUT", sensory_resumed="1")
        context = dg.build_sensor_context(instance=instance, definitions=defs())
        requests = [item for item in resumption(context) if isinstance(item, dg.RunRequest)]  # type: ignore[union-attr]
    asked = {(item.run_key, item.partition_key, item.tags[RESUMED_TAG]) for item in requests}
    assert asked == {(given_up, f"{day}|0", "1"), (twice, f"{day}|4", "2")}
