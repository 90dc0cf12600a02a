"""Old runs go, and with them their events and files; what Dagster knows of a partition stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from sensory_pipeline.automation.instance import open_instance
from sensory_pipeline.automation.retention import delete_runs, retention
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.lakes import ingested

ASSETS = ("normalized_audio", "transcripts", "diarization", "emotions", "merged_parquet")


def state(instance: dg.DagsterInstance) -> dict[str, object]:
    """What the UI shows of every asset and partition."""
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    found: dict[str, object] = {}
    for name in ASSETS:
        key = dg.AssetKey(name)
        found[name] = (
            instance.get_materialized_partitions(key),
            instance.event_log_storage.get_latest_storage_id_by_partition(key, kind),
            instance.get_latest_materialization_event(key),
        )
    checks = dg.AssetCheckKey(dg.AssetKey("merged_parquet"), "invariants")
    found["check"] = instance.event_log_storage.get_asset_check_execution_history(checks, limit=1)[0].run_id
    return found


def test_old_runs_are_deleted_but_the_last_of_a_partition_stays(tmp_path: Path) -> None:
    tone(tmp_path / "in" / "a.wav", 300)
    for speakers in (1, 2):  # two runs on one partition; the second redoes what depends on the number
        ingested(tmp_path / "in", tmp_path / "lake", shards=1, workers=1, speakers=speakers, history=True)
    home = tmp_path / "lake" / ".dagster"
    with open_instance(home) as instance:
        before, (last, first) = state(instance), instance.get_run_ids()
        assert delete_runs(instance, before=datetime.now(UTC) - timedelta(days=1)) == 0
        assert instance.get_run_ids() == [last, first]
        assert delete_runs(instance, before=datetime.now(UTC)) == 1
        assert delete_runs(instance, before=datetime.now(UTC)) == 0
        assert instance.get_run_ids() == [last]
        assert state(instance) == before
    assert not list(home.rglob(f"*{first}*"))
    with open_instance(home) as instance:
        assert state(instance) == before
        assert not instance.all_logs(first)


def test_a_run_in_progress_is_not_deleted(tmp_path: Path) -> None:
    with open_instance(tmp_path / "home") as instance:

        @dg.job
        def nothing() -> None:
            pass

        instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED)
        done = instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.CANCELED).run_id
        context = dg.build_sensor_context(instance=instance)
        told = retention(Settings())(context)
        assert isinstance(told, dg.SkipReason)
        assert told.skip_message == "0 runs deleted"
        assert delete_runs(instance, before=datetime.now(UTC)) == 1
        assert done not in instance.get_run_ids()
        assert len(instance.get_run_ids()) == 1
