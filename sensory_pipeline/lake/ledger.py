"""What was discovered, and what was tried: the lake's only mutable state, in SQLite.

The manifests say what is published; the ledger says what still has to be. Every change of a
recording's state names the version it is about, so that a result for an old version never
settles a new one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from sensory_pipeline.core.errors import ConfigurationError, LakeDamaged
from sensory_pipeline.core.recordings import (
    Partition,
    Recording,
    SourceObject,
    first_seen_date,
    recording_id,
    shard_of,
)
from sensory_pipeline.lake.manifest import Manifest, Published

MAX_ATTEMPTS = 10
"""Times a recording may be started without an end that anybody saw, before it is given up."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS recordings (
    recording_id TEXT PRIMARY KEY,
    uri TEXT NOT NULL UNIQUE,
    version TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    date TEXT NOT NULL,
    shard INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'ok', 'failed')),
    fingerprint TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    note TEXT,
    present INTEGER NOT NULL DEFAULT 1,
    forgive_before TEXT,
    first_seen_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS recordings_by_partition ON recordings (status, date, shard);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A recording that waits to be processed, and how often that was tried.

    forgive_before: failures of stages before this moment are tried again (naive UTC).
    """

    recording: Recording
    attempts: int
    crashes: int
    note: str | None
    forgive_before: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a listing brought: counts of objects."""

    new: int
    changed: int
    stale: int
    unchanged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits in a partition. since, changed: when the first, and the last, of it became pending, or
    was tried."""

    partition: Partition
    recordings: int
    size_bytes: int
    since: datetime
    changed: datetime


class Ledger:
    """The ledger in one SQLite file; safe to use from several processes at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._transaction() as db:
                db.executescript(_SCHEMA)
        except sqlite3.OperationalError as error:
            raise ConfigurationError(f"cannot write to {path} ({error}): see to its permissions and space") from error
        except sqlite3.DatabaseError as error:
            raise _damaged(path, error) from error

    def register(
        self,
        objects: Iterable[SourceObject],
        *,
        fingerprint: Callable[[str], str],
        shards: int,
        start_date: date,
    ) -> Registration:
        """Take in a listing: what is new, was rewritten, or was published under other settings
        becomes pending.

        fingerprint: of the result wanted for a uri.
        """
        now = datetime.now(UTC)
        counts = dict.fromkeys(("new", "changed", "stale", "unchanged"), 0)
        with self._transaction() as db:
            for item in objects:
                identity = recording_id(item.uri)
                known = db.execute(
                    "SELECT version, status, fingerprint, present FROM recordings WHERE recording_id = ?",
                    (identity,),
                ).fetchone()
                if known is None:
                    counts["new"] += 1
                    day = first_seen_date(item.modified_at, start=start_date, today=now.date())
                    db.execute(
                        "INSERT INTO recordings (recording_id, uri, version, size_bytes, date, shard, status,"
                        " first_seen_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, 'pending', ?, ?)",
                        (
                            identity, item.uri, item.version, item.size_bytes, day.isoformat(),
                            shard_of(item.uri, shards), now.isoformat(), now.isoformat(),
                        ),
                    )  # fmt: skip
                    continue
                version, status, published, present = known
                if version != item.version:
                    counts["changed"] += 1
                elif status != "pending" and published != fingerprint(item.uri):
                    counts["stale"] += 1
                else:
                    counts["unchanged"] += 1
                    if not present:
                        db.execute("UPDATE recordings SET present = 1 WHERE recording_id = ?", (identity,))
                    continue
                db.execute(
                    "UPDATE recordings SET version = ?, size_bytes = ?, status = 'pending', attempts = 0,"
                    " crashes = 0, note = NULL, present = 1, updated_at = ? WHERE recording_id = ?",
                    (item.version, item.size_bytes, now.isoformat(), identity),
                )
        return Registration(**counts)

    def missing(self, prefix: str, listed: Iterable[str]) -> int:
        """Note that of all uris under the prefix only the listed ones exist; the others are no
        longer pending. Returns how many went missing since the last listing."""
        with self._transaction() as db:
            db.execute("CREATE TEMP TABLE listed (uri TEXT PRIMARY KEY)")
            db.executemany("INSERT OR IGNORE INTO listed VALUES (?)", ((uri,) for uri in listed))
            gone = db.execute(
                "UPDATE recordings SET present = 0, updated_at = ? WHERE present = 1"
                " AND substr(uri, 1, length(?)) = ? AND uri NOT IN (SELECT uri FROM listed)",
                (datetime.now(UTC).isoformat(), prefix, prefix),
            ).rowcount
            db.execute("DROP TABLE listed")
        return gone

    def retry_failed(self, prefix: str) -> int:
        """Make every failed recording under the prefix pending again; returns how many."""
        with self._transaction() as db:
            return db.execute(
                "UPDATE recordings SET status = 'pending', attempts = 0, crashes = 0,"
                " note = NULL, forgive_before = ?"
                " WHERE status = 'failed' AND present = 1 AND substr(uri, 1, length(?)) = ?",
                (datetime.now(UTC).replace(tzinfo=None).isoformat(), prefix, prefix),
            ).rowcount

    def pending_partitions(self) -> dict[Partition, int]:
        """How many recordings wait in which partition, oldest partition first."""
        with self._transaction() as db:
            rows = db.execute(
                "SELECT date, shard, count(*) FROM recordings WHERE status = 'pending' AND present = 1"
                " GROUP BY date, shard ORDER BY date, shard"
            ).fetchall()
        return {Partition(date=date.fromisoformat(day), shard=shard): count for day, shard, count in rows}

    def backlog(self) -> tuple[Backlog, ...]:
        """What waits in each partition, oldest partition first."""
        with self._transaction() as db:
            rows = db.execute(
                "SELECT date, shard, count(*), sum(size_bytes), min(updated_at), max(updated_at) FROM recordings"
                " WHERE status = 'pending' AND present = 1 GROUP BY date, shard ORDER BY date, shard"
            ).fetchall()
        return tuple(
            Backlog(
                partition=Partition(date=date.fromisoformat(day), shard=shard),
                recordings=count,
                size_bytes=size,
                since=datetime.fromisoformat(since),
                changed=datetime.fromisoformat(changed),
            )
            for day, shard, count, size, since, changed in rows
        )

    def pending(self, partition: Partition) -> tuple[Pending, ...]:
        """What waits in a partition, in order of first sight."""
        with self._transaction() as db:
            rows = db.execute(
                "SELECT recording_id, uri, version, size_bytes, attempts, crashes, note, forgive_before"
                " FROM recordings WHERE status = 'pending' AND present = 1 AND date = ? AND shard = ?"
                " ORDER BY first_seen_at, uri",
                (partition.date.isoformat(), partition.shard),
            ).fetchall()
        return tuple(
            Pending(
                recording=Recording(
                    recording_id=identity, uri=uri, version=version, size_bytes=size, partition=partition
                ),
                attempts=attempts,
                crashes=crashes,
                note=note,
                forgive_before=datetime.fromisoformat(forgive) if forgive else None,
            )
            for identity, uri, version, size, attempts, crashes, note, forgive in rows
        )

    def started(self, recording: Recording) -> None:
        """Work on it begins; noted before, so that a death that nobody sees is counted."""
        self._update(recording, "attempts = attempts + 1")

    def crashed(self, recording: Recording, note: str) -> None:
        """It was at work when its process died or hung."""
        self._update(recording, "crashes = crashes + 1, note = ?", note)

    def returned(self, recording: Recording) -> None:
        """It was taken back unfinished, for a reason that is not its own."""
        self._update(recording, "attempts = max(0, attempts - 1)")

    def progressed(self, recording: Recording) -> None:
        """A stage came to an end on it."""
        self._update(recording, "attempts = 0, crashes = 0, note = NULL")

    def deferred(self, recording: Recording, note: str) -> None:
        """It could not be worked on now and stays pending."""
        self._update(recording, "attempts = max(0, attempts - 1), note = ?", note)

    def forgive(self, recordings: Iterable[Recording]) -> None:
        """Try again what failed on them up to now, for it was not their fault."""
        now = datetime.now(UTC).replace(tzinfo=None).isoformat()
        for recording in recordings:
            self._update(recording, "attempts = 0, crashes = 0, note = NULL, forgive_before = ?", now)

    def settle(self, published: Mapping[str, Published]) -> None:
        """These were published just now: recording_id -> how."""
        self._publish(published, "")

    def catch_up(self, manifest: Manifest) -> None:
        """Settle what was published by a run that was killed between its commit and its `settle`."""
        # under the fingerprint the ledger knows already, it is pending for a reason
        self._publish(manifest.recordings, " AND fingerprint IS NOT ?2")

    def _publish(self, published: Mapping[str, Published], condition: str) -> None:
        with self._transaction() as db:
            db.executemany(
                "UPDATE recordings SET status = ?1, fingerprint = ?2, attempts = 0, crashes = 0, note = NULL"  # noqa: S608
                f" WHERE recording_id = ?3 AND version = ?4{condition}",
                [(entry.status, entry.fingerprint, identity, entry.version) for identity, entry in published.items()],
            )

    def _update(self, recording: Recording, change: str, *values: object) -> None:
        with self._transaction() as db:
            db.execute(
                f"UPDATE recordings SET {change}, updated_at = ? WHERE recording_id = ? AND version = ?",  # noqa: S608
                (*values, datetime.now(UTC).isoformat(), recording.recording_id, recording.version),
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self._path, timeout=60, isolation_level=None)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            # or a recording that takes down the machine would never be counted as started
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            if db.in_transaction:
                db.execute("COMMIT")
        finally:
            db.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What readers need to know beside the manifests. waiting: rows of what waits, over all partitions;
    gone: recording_ids of what was no longer there when its source was last listed."""

    waiting: list[dict[str, object]]
    gone: list[str]


def standing(path: Path) -> Standing:
    """As the ledger in this file has it.

    Read without writing anything, so that those who may not write to the lake can ask it too.
    """
    if not path.exists():
        return Standing(waiting=[], gone=[])
    for mode in ("mode=ro", "mode=ro&immutable=1"):  # without a place for its locks, SQLite wants the latter
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=60)) as db:
                rows = db.execute(
                    "SELECT recording_id, uri, version, size_bytes, date, shard, attempts, note FROM recordings"
                    " WHERE status = 'pending' AND present = 1 ORDER BY recording_id"
                )
                names = [column[0] for column in rows.description]
                waiting = [dict(zip(names, row, strict=True)) for row in rows]
                gone = db.execute("SELECT recording_id FROM recordings WHERE present = 0").fetchall()
                return Standing(waiting=waiting, gone=[identity for (identity,) in gone])
        except sqlite3.OperationalError as error:
            failed = error
        except sqlite3.DatabaseError as error:
            raise _damaged(path, error) from error
    raise ConfigurationError(f"cannot read {path} ({failed}): see to its permissions") from failed


def _damaged(path: Path, error: Exception) -> LakeDamaged:
    return LakeDamaged(
        f"{path} is damaged ({error}): move it away and ingest again; what is published is known from the manifests"
    )
