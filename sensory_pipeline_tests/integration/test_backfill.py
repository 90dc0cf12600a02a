"""A backfill from Dagster's UI, spread over virtual devices, while processes are killed: as if nothing had been."""

from __future__ import annotations

import random
import signal
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from sensory_pipeline.automation.instance import CONFIG
from sensory_pipeline.core.recordings import shard_of
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.setup import runner
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage.local import objects
from sensory_pipeline_tests import places
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.dev_server import DevServer, running
from sensory_pipeline_tests.lakes import ingested, tables
from sensory_pipeline_tests.postgres import PASSWORD, PostgresServer
from sensory_pipeline_tests.trivial_definitions import uses
from sensory_pipeline_tests.trivial_engines import slow

ROOT = places.ROOT
SHARDS = 4
DEVICES = ("cpu:0", "cpu:1")
WORKER, CODE_SERVER, DAEMON, WEBSERVER, ALL = "run worker", "dagster api grpc", "dagster._daemon", "webserver", "all"
"""What is killed; services by what is in their command line."""
BACKFILL = """mutation ($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}"""
RUNS = "{ runsOrError { ... on Runs { results { runId status startTime endTime tags { key value } } } } }"
ASSETS = ("normalized_audio", "transcripts", "diarization", "emotions", "merged_parquet")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Recordings of today in every shard."""
    filled: set[int] = set()
    length_ms = 300
    while len(filled) < SHARDS or length_ms < 312:
        path = tone(tmp_path / "in" / f"{length_ms}.wav", length_ms)
        filled.add(shard_of(path.resolve().as_uri(), SHARDS))
        length_ms += 1
    return tmp_path / "in"


def registered(source: Path, root: Path, config: Mapping[str, Any] = CONFIG, *, shards: int = SHARDS) -> Lake:
    """A lake that knows them and has processed none, and a Dagster that is quick to react. config: its dagster.yaml."""
    lake = Lake.create(root, shards=shards, start_date=Settings().start_date, ledger=Settings().ledger)
    with runner(Settings(lake=lake.root, shards=shards), engines=slow) as ready:
        lake.ledger.register(
            objects(source),
            fingerprint=lambda _: ready.context.plans.default.fingerprint,
            shards=shards,
            start_date=lake.start_date,
        )
    quick: dict[str, Any] = {name: dict(value) for name, value in config.items() if isinstance(value, dict)}
    quick["run_monitoring"]["poll_interval_seconds"] = 2
    quick["run_coordinator"]["config"] = {"dequeue_interval_seconds": 1}
    (lake.root / ".dagster").mkdir()
    (lake.root / ".dagster" / "dagster.yaml").write_text(yaml.safe_dump(quick))
    return lake


@contextmanager
def serving(lake: Lake) -> Iterator[DevServer]:
    with running(
        lake.root, trivial_shards=lake.shards, SENSORY_DEVICES=",".join(DEVICES), SENSORY_WORKERS="1"
    ) as server:
        yield server


def test_kills_in_a_backfill_change_nothing(source: Path, tmp_path: Path, soak: bool) -> None:
    ingested(source, tmp_path / "calm", shards=SHARDS)
    for seed in range(6 if soak else 1):
        kinds = [WORKER, ALL, *([CODE_SERVER, DAEMON, WEBSERVER] if soak else [])]
        disturbed(registered(source, tmp_path / f"lake{seed}"), kinds, random.Random(seed))
        assert tables(tmp_path / f"lake{seed}") == tables(tmp_path / "calm")


def test_instance_and_ledger_in_postgresql(
    source: Path, tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingested(source, tmp_path / "calm", shards=len(DEVICES))
    expected = tables(tmp_path / "calm")
    config = yaml.safe_load((ROOT / "deploy" / "dagster-postgres.yaml").read_text())
    url = postgres.new_database()
    monkeypatch.setenv("SENSORY_LEDGER", url)
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", url.replace("postgresql:", "postgresql+psycopg2:"))
    lake = registered(source, tmp_path / "lake", config, shards=len(DEVICES))
    with serving(lake) as server:
        backfill(server, lake.shards)
        server.wait_until(lambda: statuses(server) == ["SUCCESS"] * lake.shards, within_s=600)
        alone_on_its_device(server, lake)
    assert tables(lake.root) == expected
    assert not list(lake.root.rglob("*.sqlite*")) + list(lake.root.rglob("*.db"))
    assert not [path for path in (lake.root / ".dagster").rglob("*") if path.is_file() and holds_secret(path)]


def holds_secret(path: Path) -> bool:
    return PASSWORD.encode() in path.read_bytes()


def disturbed(lake: Lake, kinds: list[str], dice: random.Random) -> None:
    """A backfill with a kill of each kind while a run is in progress."""
    dice.shuffle(kinds)
    started = False
    while True:
        with serving(lake) as server:
            if not started:
                backfill(server, lake.shards)
                started = True
            while kinds:
                server.wait_until(lambda: "STARTED" in statuses(server) or settled(server, lake), within_s=300)
                time.sleep(dice.uniform(0, 3))
                kind = kinds.pop()
                print(f"{datetime.now(UTC):%H:%M:%S} kill: {kind}")  # noqa: T201
                if kind == ALL:
                    server.kill()
                    break
                for victim in server.run_workers()[:1] if kind == WORKER else server.service(kind):
                    with suppress(psutil.NoSuchProcess):
                        victim.send_signal(signal.SIGKILL)
            else:
                server.wait_until(lambda: settled(server, lake), within_s=600)
                alone_on_its_device(server, lake)
                return


def alone_on_its_device(server: DevServer, lake: Lake) -> None:
    """No two runs met on a device: by their times in Dagster, and by what the processes themselves saw."""
    on_device = defaultdict(list)
    for run in runs(server):
        if run["startTime"]:
            tags = {tag["key"]: tag["value"] for tag in run["tags"]}
            assert tags["sensory/device"] == DEVICES[int(tags["dagster/partition/shard"]) % len(DEVICES)]
            on_device[tags["sensory/device"]].append((run["startTime"], run["endTime"]))
    assert set(on_device) == set(DEVICES)
    for times in on_device.values():
        assert all(end <= start for (_, end), (start, _) in pairwise(sorted(times))), times
    assert not any(use["shared"] for use in uses(lake.root))


def backfill(server: DevServer, shards: int) -> None:
    """All shards of today, all assets: what "Materialize" does after a choice of partitions."""
    today = datetime.now(UTC).date().isoformat()
    asked = server.ask(
        BACKFILL,
        params={
            "partitionNames": [f"{today}|{shard}" for shard in range(shards)],
            "assetSelection": [{"path": [name]} for name in ASSETS],
        },
    )["launchPartitionBackfill"]
    assert asked["__typename"] == "LaunchBackfillSuccess", asked
    for daemon in server.service(DAEMON):  # it looks for backfills every half a minute, and when it starts
        daemon.send_signal(signal.SIGKILL)


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
