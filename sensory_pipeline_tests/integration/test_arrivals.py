"""What arrives in a watched source becomes runs: soon when it is much, later when it is little."""

from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from sensory_pipeline.assets.partitions import first_date
from sensory_pipeline.assets.partitions import partitions as partitions_of
from sensory_pipeline.automation.instance import open_instance
from sensory_pipeline.automation.triggers import arrivals, nightly
from sensory_pipeline.core.recordings import shard_of
from sensory_pipeline.definitions import defs
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.setup import PATIENT_S, PROMPT_S, arrival_wait_s
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.dev_server import running
from sensory_pipeline_tests.lakes import rows


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "in"
    for length_ms in range(300, 306):
        tone(folder / f"{length_ms}.wav", length_ms)
    monkeypatch.setenv("SENSORY_LAKE", str(tmp_path / "lake"))
    monkeypatch.setenv("SENSORY_SOURCES", json.dumps([str(folder), str(tmp_path / "nowhere")]))
    return folder


def partitions(source: Path) -> set[str]:
    today = datetime.now(UTC).date().isoformat()
    return {f"{today}|{shard_of(path.resolve().as_uri(), 8)}" for path in source.glob("*.wav")}


def ticked(instance: dg.DagsterInstance) -> list[dg.RunRequest | dg.SkipReason]:
    found = arrivals(Settings())(dg.build_sensor_context(instance=instance, definitions=defs()))
    return list(found)  # type: ignore[arg-type]


def keys(found: list[dg.RunRequest | dg.SkipReason]) -> set[str]:
    return {str(item.partition_key) for item in found if isinstance(item, dg.RunRequest)}


def test_a_small_backlog_waits_and_is_then_run(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_instance(tmp_path / "home") as instance:
        (skipped,) = ticked(instance)
        assert isinstance(skipped, dg.SkipReason)
        assert "6 recordings wait for more" in str(skipped.skip_message)
        monkeypatch.setenv("SENSORY_ARRIVAL_WAIT_S", "0")
        assert keys(ticked(instance)) == partitions(source)


def test_dates_begin_with_the_first_recording(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENSORY_ARRIVAL_WAIT_S", "0")
    now = datetime.now(UTC)
    first = (now - timedelta(days=10)).date()
    _backdate(source / "300.wav", 10)
    assert first_date(Settings()) == date(2024, 1, 1), "while nothing is known"
    with open_instance(tmp_path / "home") as instance:
        found = ticked(instance)
        assert first_date(Settings()) == first
        assert min(keys(found)).startswith(first.isoformat())
        assert {item.tags["sensory/source"] for item in found if isinstance(item, dg.RunRequest)} == {str(source)}
        _backdate(tone(source / "older.wav", 310), 20)
        assert min(keys(ticked(instance))).startswith(first.isoformat()), "a running UI knows no date before"
        known = partitions_of(Settings()).get_partitions_def_for_dimension("date").get_partition_keys()
        assert len(known) == 11
    monkeypatch.setenv("SENSORY_START_DATE", "2025-01-01")
    assert first_date(Settings()) == date(2025, 1, 1)


def _backdate(path: Path, days: int) -> None:
    then = datetime.now(UTC).timestamp() - days * 24 * 3600
    os.utime(path, (then, then))


def test_a_large_backlog_is_run_at_once(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENSORY_ARRIVAL_GB", "1e-9")
    with open_instance(tmp_path / "home") as instance:
        first = ticked(instance)
        assert keys(first) == partitions(source)
        again = ticked(instance)
        assert [item.run_key for item in again] == [item.run_key for item in first]  # type: ignore[union-attr]


def test_a_partition_that_is_being_worked_on_is_left_alone(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENSORY_ARRIVAL_WAIT_S", "0")
    busy = sorted(partitions(source))[0]
    with open_instance(tmp_path / "home") as instance:
        instance.create_run_for_job(
            defs().resolve_job_def("process_recordings"),
            tags={"dagster/partition": busy},
            status=dg.DagsterRunStatus.STARTED,
        )
        assert keys(ticked(instance)) == partitions(source) - {busy}


def test_a_failed_partition_waits_an_hour_but_not_at_night(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENSORY_ARRIVAL_WAIT_S", "0")
    failed, mended = sorted(partitions(source))[:2]
    job = defs().resolve_job_def("process_recordings")
    with open_instance(tmp_path / "home") as instance:
        for partition in (failed, mended):
            instance.create_run_for_job(job, tags={"dagster/partition": partition}, status=dg.DagsterRunStatus.FAILURE)
        instance.create_run_for_job(job, tags={"dagster/partition": mended}, status=dg.DagsterRunStatus.SUCCESS)
        assert keys(ticked(instance)) == partitions(source) - {failed}
        context = dg.build_schedule_context(instance=instance, scheduled_execution_time=datetime.now(UTC))
        assert keys(list(nightly(Settings())(context))) == partitions(source)  # type: ignore[arg-type]


def test_a_deferred_partition_waits_until_something_new_arrives(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENSORY_ARRIVAL_WAIT_S", "0")
    with open_instance(tmp_path / "home") as instance:
        ticked(instance)
        ledger = Lake.open(tmp_path / "lake").ledger
        for partition in ledger.pending_partitions():
            for item in ledger.pending(partition):
                ledger.attempts.deferred(item.recording, "out of reach")
            instance.create_run_for_job(
                defs().resolve_job_def("process_recordings"),
                tags={"dagster/partition": partition.key},
                status=dg.DagsterRunStatus.SUCCESS,
            )
        assert keys(ticked(instance)) == set()
        os.utime(source / "300.wav")
        assert len(keys(ticked(instance))) == 1


def test_the_wait_is_longer_with_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert arrival_wait_s(Settings()) == PROMPT_S
    assert arrival_wait_s(Settings(arrival_wait_s=0)) == 0
    monkeypatch.setenv("SENSORY_SOURCES", json.dumps(["calls", {"uri": "more", "pyannote_model": "open"}]))
    assert arrival_wait_s(Settings()) == PATIENT_S


def test_the_nightly_schedule_runs_everything(source: Path, tmp_path: Path) -> None:
    with open_instance(tmp_path / "home") as instance:
        context = dg.build_schedule_context(instance=instance, scheduled_execution_time=datetime.now(UTC))
        found = list(nightly(Settings())(context))  # type: ignore[arg-type]
    assert keys(found) == partitions(source)


def test_a_file_that_is_dropped_is_soon_in_the_tables(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with running(
        tmp_path / "lake",
        SENSORY_SOURCES=json.dumps([str(tmp_path / "in")]),
        SENSORY_WORKERS="1",
    ) as server:
        tone(tmp_path / "in" / "dropped.wav", 700)
        server.wait_until(
            lambda: rows(tmp_path / "lake", "SELECT name, status FROM recordings") == [("dropped.wav", "ok")],
            within_s=180,
        )
