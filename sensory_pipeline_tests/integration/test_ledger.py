"""The ledger in SQLite and in PostgreSQL: no update is lost, and what is wrong is said."""

from __future__ import annotations

import os
import pwd
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pydantic import SecretStr

from sensory_pipeline.core.errors import ConfigurationError, LakeMismatch
from sensory_pipeline.core.recordings import SourceObject, recording_id
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.ledger_entries import Pending
from sensory_pipeline.lake.ledger_snapshot import ledger_snapshot
from sensory_pipeline.lake.manifest import Manifest, Published
from sensory_pipeline_tests.command import invoked, sensory
from sensory_pipeline_tests.postgres import PASSWORD, PostgresServer

START = date(2024, 1, 1)
RACE = """
import sys
from multiprocessing import get_context
from pathlib import Path
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.settings import Settings

def start(times):
    for _ in range(times):
        lake.ledger.attempts.started(item.recording)

lake = Lake.open(Path(sys.argv[1]), ledger=Settings().ledger)
(partition,) = lake.ledger.pending_partitions()
(item,) = lake.ledger.pending(partition)
with get_context("fork").Pool(8) as processes:
    processes.map(start, [25] * 8, chunksize=1)
"""


def lake_in(root: Path, ledger: SecretStr | None, *, shards: int = 1) -> Lake:
    return Lake.create(root, shards=shards, start_date=START, ledger=ledger)


def thing(name: str, version: str = "1") -> SourceObject:
    return SourceObject(
        uri=f"s3://calls/{name}", version=version, size_bytes=3_000_000_000, modified_at=datetime.now(UTC)
    )


def register(lake: Lake, *objects: SourceObject, wanted: str = "now") -> tuple[int, int, int, int]:
    found = lake.ledger.register(objects, fingerprint=lambda _: wanted, shards=lake.shards, start_date=START)
    return found.new, found.changed, found.stale, found.unchanged


def waiting(lake: Lake) -> list[Pending]:
    return [item for partition in lake.ledger.pending_partitions() for item in lake.ledger.pending(partition)]


def published(lake: Lake, *, fingerprint: str = "now") -> dict[str, Published]:
    return {
        item.recording.recording_id: Published(version=item.recording.version, status="ok", fingerprint=fingerprint)
        for item in waiting(lake)
    }


def test_registered_recordings_are_pending_until_published(ledger: SecretStr | None, tmp_path: Path) -> None:
    lake = lake_in(tmp_path / "lake", ledger, shards=4)
    many = [thing(f"{index}.wav") for index in range(2500)]
    assert register(lake, *many) == (2500, 0, 0, 0)
    assert register(lake, *many) == (0, 0, 0, 2500)
    assert {item.recording.uri for item in waiting(lake)} == {item.uri for item in many}
    assert sum(item.recordings for item in lake.ledger.backlog()) == 2500
    assert sum(item.size_bytes for item in lake.ledger.backlog()) == 2500 * 3_000_000_000
    lake.ledger.settle(published(lake))
    assert waiting(lake) == []
    assert register(lake, *many[:10], wanted="then") == (0, 0, 10, 0)
    assert register(lake, thing("0.wav", "2"), wanted="then") == (0, 1, 0, 0)
    assert {item.recording.version for item in waiting(lake)} == {"1", "2"}


def test_a_result_for_an_old_version_settles_nothing(ledger: SecretStr | None, tmp_path: Path) -> None:
    lake = lake_in(tmp_path / "lake", ledger)
    register(lake, thing("a.wav"))
    old = published(lake)
    (item,) = waiting(lake)
    register(lake, thing("a.wav", "2"))
    lake.ledger.settle(old)
    lake.ledger.attempts.started(item.recording)
    lake.ledger.attempts.crashed(item.recording, "killed")
    (item,) = waiting(lake)
    assert (item.recording.version, item.attempts, item.crashes, item.note) == ("2", 0, 0, None)


def test_a_version_that_returns_is_not_made_again(ledger: SecretStr | None, tmp_path: Path) -> None:
    lake = lake_in(tmp_path / "lake", ledger)
    register(lake, thing("a.wav"))
    entries = published(lake)
    lake.ledger.settle(entries)
    for version in ("2", "1"):
        assert register(lake, thing("a.wav", version)) == (0, 1, 0, 0)
    assert len(waiting(lake)) == 1
    lake.ledger.catch_up(Manifest(generation=1, recordings=entries))
    assert waiting(lake) == []


def test_missing_recordings_are_not_pending(ledger: SecretStr | None, tmp_path: Path) -> None:
    lake = lake_in(tmp_path / "lake", ledger)
    register(lake, thing("a.wav"), thing("b.wav"))
    sweep = lake.ledger.sweeps.begin("s3://calls/", restart=False)
    assert lake.ledger.sweeps.finish(sweep, seen=[recording_id("s3://calls/b.wav")], incomplete=False) == 1
    assert [item.recording.uri for item in waiting(lake)] == ["s3://calls/b.wav"]
    assert len(ledger_snapshot(lake.database).missing) == 1
    register(lake, thing("a.wav"))
    assert len(waiting(lake)) == 2


def test_a_sweep_continues_where_it_stopped(ledger: SecretStr | None, tmp_path: Path) -> None:
    lake = lake_in(tmp_path / "lake", ledger)
    sweeps = lake.ledger.sweeps
    many = [thing(f"{index:04}.wav") for index in range(3000)]
    register(lake, *many)
    first = sweeps.begin("s3://calls/", restart=False)
    half = [recording_id(item.uri) for item in many[:1500]]
    assert sweeps.advance(first, after=many[1499].uri, seen=half, incomplete=False)
    second = sweeps.begin("s3://calls/", restart=False)
    assert (second.number, second.after) == (first.number, many[1499].uri)
    assert sweeps.finish(second, seen=[recording_id(item.uri) for item in many[1500:2999]], incomplete=False) == 1
    assert sweeps.begin("s3://calls/", restart=False).after is None


def test_a_sweep_that_was_overtaken_changes_nothing(ledger: SecretStr | None, tmp_path: Path) -> None:
    lake = lake_in(tmp_path / "lake", ledger)
    sweeps = lake.ledger.sweeps
    register(lake, thing("a.wav"))
    mine, theirs = (sweeps.begin("s3://calls/", restart=True) for _ in range(2))
    assert sweeps.advance(mine, after="s3://calls/b.wav", seen=[], incomplete=False) is None
    assert sweeps.finish(mine, seen=[], incomplete=False) == 0
    assert sweeps.finish(theirs, seen=[], incomplete=False) == 1


def test_files_added_behind_a_sweep_are_not_marked_as_missing(ledger: SecretStr | None, tmp_path: Path) -> None:
    lake = lake_in(tmp_path / "lake", ledger)
    sweeps = lake.ledger.sweeps
    register(lake, thing("old.wav"))
    sweep = sweeps.begin("s3://calls/", restart=False)
    register(lake, thing("new.wav"))
    assert sweeps.finish(sweep, seen=[], incomplete=False) == 1
    assert [item.recording.uri for item in waiting(lake)] == ["s3://calls/new.wav"]


def test_every_error_text_can_be_stored(ledger: SecretStr | None, tmp_path: Path) -> None:
    lake = lake_in(tmp_path / "lake", ledger)
    register(lake, thing("a.wav"))
    (item,) = waiting(lake)
    lake.ledger.attempts.deferred(item.recording, "100 % of it: a NUL\0, 'quotes' and ?")
    (item,) = waiting(lake)
    assert item.note is not None
    assert item.note.replace("\0", "") == "100 % of it: a NUL, 'quotes' and ?"


def test_no_update_of_eight_processes_is_lost(ledger: SecretStr | None, tmp_path: Path) -> None:
    lake = lake_in(tmp_path / "lake", ledger)
    register(lake, thing("a.wav"))
    subprocess.run([sys.executable, "-c", RACE, str(lake.root)], check=True)
    assert waiting(lake)[0].attempts == 8 * 25


def test_readers_need_no_write_permission(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    with TemporaryDirectory(prefix="lake-") as folder:
        lake = lake_in(Path(folder) / "lake", None)
        register(lake, thing("a.wav"))
        for path in (Path(folder), *Path(folder).rglob("*")):  # a new lake is its owner's alone
            path.chmod(0o755 if path.is_dir() else 0o644)
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
        try:
            assert len(ledger_snapshot(lake.database).pending) == 1
            with pytest.raises(ConfigurationError, match=r"ledger\.sqlite.*permissions"):
                register(lake, thing("b.wav"))
        finally:
            os.seteuid(0)


def test_an_older_ledger_gets_its_columns(tmp_path: Path) -> None:
    lake = lake_in(tmp_path / "lake", None)
    register(lake, thing("a.wav"))
    with closing(sqlite3.connect(lake.root / "ledger.sqlite")) as db:
        db.execute("DROP INDEX recordings_whole")
        db.execute("ALTER TABLE recordings DROP COLUMN redo_stages")
        db.execute("ALTER TABLE recordings RENAME COLUMN failures_reset_at TO forgive_before")
        db.execute("ALTER TABLE sweeps RENAME COLUMN incomplete TO blind")
        db.execute("UPDATE recordings SET forgive_before = '2026-11-22T10:00:00'")
        db.commit()
    lake = Lake.open(lake.root)
    (item,) = waiting(lake)
    assert item.redo_stages == frozenset()
    assert item.failures_reset_at == datetime(2026, 11, 22, 10)
    assert not lake.ledger.sweeps.begin("s3://calls/", restart=True).incomplete


def test_a_lake_keeps_its_kind_of_ledger(postgres: PostgresServer, tmp_path: Path) -> None:
    url = SecretStr(postgres.new_database())
    lake_in(tmp_path / "one", None)
    with pytest.raises(LakeMismatch, match="SENSORY_LEDGER is set"):
        Lake.open(tmp_path / "one", ledger=url)
    lake_in(tmp_path / "two", url)
    with pytest.raises(LakeMismatch, match="set SENSORY_LEDGER"):
        Lake.open(tmp_path / "two")


def test_two_lakes_in_one_database_do_not_meet(postgres: PostgresServer, tmp_path: Path) -> None:
    url = SecretStr(postgres.new_database())
    one, two = lake_in(tmp_path / "one", url), lake_in(tmp_path / "two", url)
    register(one, thing("a.wav"))
    assert (len(waiting(one)), len(waiting(two))) == (1, 0)


def test_a_reader_may_be_somebody_else(postgres: PostgresServer, tmp_path: Path) -> None:
    url = SecretStr(postgres.new_database())
    lake = lake_in(tmp_path / "lake", url)
    register(lake, thing("a.wav"))
    with lake.database.exclusive() as db:
        (schema,) = db.execute("SELECT current_schema()").fetchall()[0]
        db.execute("DROP ROLE IF EXISTS analyst")
        db.execute("CREATE ROLE analyst LOGIN PASSWORD 'analyst'")
        db.execute(f"GRANT USAGE ON SCHEMA {schema} TO analyst")
        db.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO analyst")
    reader = url.get_secret_value().replace(f"sensory:{PASSWORD}", "analyst:analyst")
    done = invoked("sql", "SELECT status FROM recordings", "--lake", "lake", cwd=tmp_path, SENSORY_LEDGER=reader)
    assert "pending" in done.stdout, done.stderr
    variables = {"SENSORY_LEDGER": reader, "SENSORY_SHARDS": "1"}
    done = sensory("ingest", str(tmp_path), "--lake", "lake", cwd=tmp_path, **variables)
    assert done.returncode == 2
    assert "the permissions of its user" in done.stderr


def test_a_restarted_server_is_reconnected(postgres: PostgresServer, tmp_path: Path) -> None:
    url = SecretStr(postgres.new_database())
    lake = lake_in(tmp_path / "lake", url)
    register(lake, thing("a.wav"))
    with lake_in(tmp_path / "other", url).database.writing() as db:
        db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    assert len(waiting(lake)) == 1


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://me:hush-hush@127.0.0.1:1/lake", "does not answer"),
        ("postgresql://me:hush@hush-hush@127.0.0.1:1/lake", "does not answer"),
        ("postgresql://me:hush-hush@127.0.0.1:hush-hush/lake", "is not a URL"),
        ("sqlite:///hush-hush", "is not a PostgreSQL URL"),
        ("hush-hush", "is not a PostgreSQL URL"),
    ],
)
def test_the_error_about_a_wrong_ledger_hides_its_password(url: str, told: str, tmp_path: Path) -> None:
    done = sensory("ingest", ".", "--lake", str(tmp_path / "lake"), cwd=tmp_path, SENSORY_LEDGER=url, LOG_LEVEL="DEBUG")
    assert done.returncode == 2
    assert told in done.stderr
    assert "hush-hush" not in done.stderr + done.stdout


def test_the_error_about_a_wrong_password_hides_it(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.url().replace(PASSWORD, "not-this-one")
    with pytest.raises(ConfigurationError, match="password authentication failed") as caught:
        lake_in(tmp_path / "lake", SecretStr(url))
    assert "not-this-one" not in str(caught.value)


def test_missing_recordings_are_listed_with_their_sound(ledger: SecretStr | None, tmp_path: Path) -> None:
    lake = lake_in(tmp_path / "lake", ledger)
    register(lake, thing("a.wav"), thing("b.wav"), thing("c.wav"))
    for item in waiting(lake)[:2]:
        lake.ledger.attempts.progressed(item.recording, sound=f"of {item.recording.uri}")
        lake.ledger.attempts.progressed(item.recording)
    assert lake.ledger.missing() == []
    lake.ledger.mark_missing(["s3://calls/a.wav", "s3://calls/c.wav"])
    ((sound, recording),) = lake.ledger.missing()
    assert (sound, recording.uri) == ("of s3://calls/a.wav", "s3://calls/a.wav")
    lake.ledger.forget(recording.recording_id)
    assert lake.ledger.missing() == []
