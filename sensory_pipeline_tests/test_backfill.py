"""A backfill from Dagster's UI, spread over virtual devices; and what a power cut in the middle leaves."""

from __future__ import annotations

import time
from collections import defaultdict
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from sensory_pipeline.automation.instance import CONFIG
from sensory_pipeline.core.recordings import recording_id, shard_of
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.setup import processor
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage.local import objects
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.dev_server import DevServer, running
from sensory_pipeline_tests.lakes import rows

SHARDS = 4
DEVICES = ("cpu:0", "cpu:1")
BACKFILL = """mutation ($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}"""
RUNS = "{ runsOrError { ... on Runs { results { runId status startTime endTime tags { key value } } } } }"
ASSETS = ("normalized_audio", "transcripts", "diarization", "emotions", "merged_parquet")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """With recordings of today in every shard, registered and not processed, and a Dagster that is quick to react."""
    lake = Lake.create(tmp_path / "lake", shards=SHARDS, start_date=Settings().start_date)
    filled: set[int] = set()
    length_ms = 300
    while len(filled) < SHARDS or length_ms < 306:
        path = tone(tmp_path / "in" / f"{length_ms}.wav", length_ms)
        filled.add(shard_of(path.resolve().as_uri(), SHARDS))
        length_ms += 1
    with processor(Settings(lake=lake.root, shards=SHARDS)) as ready:
        lake.ledger.register(
            objects(tmp_path / "in"),
            fingerprint=lambda _: ready.plans.default.fingerprint,
            shards=SHARDS,
            start_date=lake.start_date,
        )
    quick: dict[str, Any] = {name: dict(value) for name, value in CONFIG.items() if isinstance(value, dict)}
    quick["run_monitoring"] |= {"poll_interval_seconds": 2, "start_timeout_seconds": 15}
    quick["run_coordinator"]["config"] = {"dequeue_interval_seconds": 1}
    (lake.root / ".dagster").mkdir()
    (lake.root / ".dagster" / "dagster.yaml").write_text(yaml.safe_dump(quick))
    return lake


def test_a_backfill_runs_one_run_a_device(lake: Lake) -> None:
    with running(lake.root, SENSORY_DEVICES=",".join(DEVICES), SENSORY_WORKERS="1") as server:
        backfill(server)
        server.wait_until(lambda: statuses(server) == ["SUCCESS"] * SHARDS, within_s=240)
        on_device = defaultdict(list)
        for run in runs(server):
            tags = {tag["key"]: tag["value"] for tag in run["tags"]}
            assert tags["sensory/device"] == DEVICES[int(tags["dagster/partition/shard"]) % len(DEVICES)]
            on_device[tags["sensory/device"]].append((run["startTime"], run["endTime"]))
    assert set(on_device) == set(DEVICES)
    for times in on_device.values():
        assert all(end <= start for (_, end), (start, _) in pairwise(sorted(times))), "two runs met on a device"
    complete(lake)


def test_a_power_cut_in_a_backfill_frees_the_devices_and_loses_nothing(lake: Lake) -> None:
    with running(lake.root, SENSORY_DEVICES=",".join(DEVICES), SENSORY_WORKERS="1") as server:
        backfill(server)
        server.wait_until(lambda: "STARTED" in statuses(server), within_s=120)
        time.sleep(1)
        server.kill()
    with running(lake.root, SENSORY_DEVICES=",".join(DEVICES), SENSORY_WORKERS="1") as server:
        server.wait_until(lambda: settled(server, lake), within_s=240)
    complete(lake)


def backfill(server: DevServer) -> None:
    """All shards of today, all assets: what "Materialize" does after a choice of partitions."""
    today = datetime.now(UTC).date().isoformat()
    asked = server.ask(
        BACKFILL,
        params={
            "partitionNames": [f"{today}|{shard}" for shard in range(SHARDS)],
            "assetSelection": [{"path": [name]} for name in ASSETS],
        },
    )["launchPartitionBackfill"]
    assert asked["__typename"] == "LaunchBackfillSuccess", asked


def runs(server: DevServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.ask(RUNS)["runsOrError"]["results"]
    return found


def statuses(server: DevServer) -> list[str]:
    return [run["status"] for run in runs(server)]


def settled(server: DevServer, lake: Lake) -> bool:
    """No run waits or works, and nothing is left to do.

    A run that was killed after its last table and before its last event has failed, and needs no successor.
    """
    return set(statuses(server)) <= {"SUCCESS", "FAILURE", "CANCELED"} and not lake.ledger.pending_partitions()


def complete(lake: Lake) -> None:
    """Every recording is there, once."""
    found = rows(lake.root, "SELECT recording_id, status FROM recordings ORDER BY recording_id")
    files = (lake.root.parent / "in").glob("*.wav")
    assert found == sorted((recording_id(path.resolve().as_uri()), "ok") for path in files)
