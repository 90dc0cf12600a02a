"""Which recordings were found and tried: the only mutable state of the lake.

The manifests say what is published; the ledger says what is still to do. Every change of a recording's state names the
version that it is about, so a result for an old version never marks a new version as done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice

from sensory_pipeline.core.errors import LakeDamaged
from sensory_pipeline.core.recordings import (
    Partition,
    Recording,
    SourceObject,
    first_seen_date,
    recording_id,
    shard_of,
)
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.lake.comparison import Verdict, known, verdict
from sensory_pipeline.lake.database import Database, Values
from sensory_pipeline.lake.listing_progress import LATEST, TABLES, Sweeps
from sensory_pipeline.lake.manifest import Manifest, Published

MAX_ATTEMPTS = 10
"""A recording that was started this often without a known end is given up."""

_COLUMNS = {
    "recording_id": "TEXT PRIMARY KEY",
    "uri": "TEXT NOT NULL UNIQUE",
    "version": "TEXT NOT NULL",
    "size_bytes": "BIGINT NOT NULL",
    "date": "TEXT NOT NULL",
    "shard": "INTEGER NOT NULL",
    "status": "TEXT NOT NULL CHECK (status IN ('pending', 'ok', 'failed', 'forgotten'))",
    "fingerprint": "TEXT",
    "attempts": "INTEGER NOT NULL DEFAULT 0",
    "crashes": "INTEGER NOT NULL DEFAULT 0",
    "note": "TEXT",
    "present": "INTEGER NOT NULL DEFAULT 1",
    "failures_reset_at": "TEXT",
    "redo_before": "TEXT",
    "redo_stages": "TEXT",
    "sound": "TEXT",
    "seen_in": "BIGINT NOT NULL DEFAULT 0",
    "first_seen_at": "TEXT NOT NULL",
    "updated_at": "TEXT NOT NULL",
}
_RENAMED = {"forgive_before": "failures_reset_at", "blind": "incomplete"}
"""Columns of older versions, under their present names."""
_PAGE = 1000
"""Number of objects that are registered together; S3 lists as many at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A recording that waits to be processed, and how often that was tried.

    Attributes:
        recording: The recording.
        attempts: How often it was started without a known end.
        crashes: How often its process died or hung.
        note: Why the last attempt had no result.
        failures_reset_at: Stages that failed before this moment are tried again (naive UTC).
        redo_before: Results of `redo_stages` from before this moment are made again (naive UTC).
        redo_stages: Stages to make again.
    """

    recording: Recording
    attempts: int
    crashes: int
    note: str | None
    failures_reset_at: datetime | None
    redo_before: datetime | None
    redo_stages: frozenset[Stage]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a listing brought, as counts of objects.

    Attributes:
        new: Not in the ledger before.
        changed: Have another version than before.
        stale: Were published under other settings.
        unchanged: Need no work.
    """

    new: int
    changed: int
    stale: int
    unchanged: int

    def __add__(self, other: Registration) -> Registration:
        return Registration(
            new=self.new + other.new,
            changed=self.changed + other.changed,
            stale=self.stale + other.stale,
            unchanged=self.unchanged + other.unchanged,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What is pending in a partition.

    Attributes:
        partition: The partition.
        recordings: Number of pending recordings.
        deferred: How many of them were tried and put off, for example because their source did not answer.
        size_bytes: Their size in their source.
        since: When the first of them became pending or was last tried (UTC).
        changed: The same for the last of them (UTC).
    """

    partition: Partition
    recordings: int
    deferred: int
    size_bytes: int
    since: datetime
    changed: datetime


class Ledger:
    """The ledger in its database; several processes can use it at once."""

    def __init__(self, database: Database) -> None:
        """Open the ledger; create it or add new columns where necessary.

        Args:
            database: Its database.

        Raises:
            LakeDamaged: The ledger is damaged, or was written by a newer version.
        """
        self._database = database
        database.check()
        self.sweeps = Sweeps(database)
        with database.exclusive() as db:
            for table, columns in {"recordings": _COLUMNS, **TABLES}.items():
                kinds = ", ".join(f"{name} {kind}" for name, kind in columns.items())
                db.execute(f"CREATE TABLE IF NOT EXISTS {table} ({kinds})")
                description = db.execute(f"SELECT * FROM {table} LIMIT 0").description or ()  # noqa: S608
                found = {str(column[0]) for column in description}
                for old in found & _RENAMED.keys():
                    db.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {_RENAMED[old]}")
                    found = found - {old} | {_RENAMED[old]}
                if unknown := found - columns.keys():
                    raise LakeDamaged(
                        f"the ledger's table {table} has a column {min(unknown)}: it is damaged, or from a newer "
                        "version; update sensory-pipeline, or put the ledger back from a backup"
                    )
                added = columns.keys() - found  # the ledger was created by an older version
                for name in added:
                    db.execute(f"ALTER TABLE {table} ADD COLUMN {name} {columns[name]}")
                database.seal(db, table, columns, rebuild=bool(added))
            db.execute("CREATE INDEX IF NOT EXISTS recordings_by_partition ON recordings (status, date, shard)")
            db.execute("CREATE INDEX IF NOT EXISTS swept_in ON swept (number, recording_id)")

    def register(
        self,
        objects: Iterable[SourceObject],
        *,
        fingerprint: Callable[[str], str],
        shards: int,
        start_date: date,
    ) -> Registration:
        """Take in a listing: what is new, was rewritten, or was published under other settings becomes pending.

        Args:
            objects: The objects of the listing.
            fingerprint: Returns the fingerprint of the wanted result for a uri.
            shards: Number of shards of the lake.
            start_date: First date of the lake.

        Returns:
            How many objects are new, changed, stale and unchanged.
        """
        counts = Counter[Verdict]()
        remaining = iter(objects)
        while page := {recording_id(item.uri): item for item in islice(remaining, _PAGE)}:
            self._register(page, counts, fingerprint, shards, start_date)
        return Registration(
            new=counts[Verdict.NEW],
            changed=counts[Verdict.CHANGED],
            stale=counts[Verdict.STALE],
            unchanged=counts[Verdict.UNCHANGED],
        )

    def _register(
        self,
        page: Mapping[str, SourceObject],
        counts: Counter[Verdict],
        fingerprint: Callable[[str], str],
        shards: int,
        start_date: date,
    ) -> None:
        now = datetime.now(UTC)
        with self._database.reading() as db:
            found = known(db, page)
        new: list[Values] = []
        renewed: list[Values] = []
        returned: list[Values] = []
        for identity, item in page.items():
            before = found.get(identity)
            how = verdict(item, before, fingerprint)
            counts[how] += 1
            if before is None:
                day = first_seen_date(item.modified_at, start=start_date, today=now.date()).isoformat()
                shard = shard_of(item.uri, shards)
                stamps = (now.isoformat(), now.isoformat())
                new.append((identity, item.uri, item.version, item.size_bytes, day, shard, *stamps))
                continue
            if how is Verdict.UNCHANGED and not before.present:
                returned.append((identity, before.version))
            if how in (Verdict.UNCHANGED, Verdict.FORGOTTEN):
                continue
            # of a changed recording, what is published is of another version
            published_now = (before.fingerprint or None) if how is Verdict.STALE else None
            change = (item.version, item.size_bytes, published_now, now.isoformat())
            renewed.append((*change, identity, before.version, before.status, before.fingerprint))
        if not (new or renewed or returned):
            return
        with self._database.writing() as db:
            db.executemany(
                "INSERT INTO recordings (recording_id, uri, version, size_bytes, date, shard, status, first_seen_at,"  # noqa: S608
                f" updated_at, seen_in) VALUES (?, ?, ?, ?, ?, ?, 'pending', ?, ?, {LATEST}) ON CONFLICT DO NOTHING",
                new,
            )
            db.executemany(
                "UPDATE recordings SET version = ?, size_bytes = ?, status = 'pending', fingerprint = ?, attempts = 0,"  # noqa: S608
                f" crashes = 0, note = NULL, present = 1, seen_in = {LATEST}, updated_at = ?"
                " WHERE recording_id = ? AND version = ? AND status = ? AND coalesce(fingerprint, '') = ?",
                renewed,
            )
            db.executemany(
                f"UPDATE recordings SET present = 1, seen_in = {LATEST} WHERE recording_id = ? AND version = ?",  # noqa: S608
                returned,
            )

    def mark_missing(self, uris: Iterable[str]) -> None:
        """Mark recordings as no longer in their source; they are then not pending either."""
        now = datetime.now(UTC).isoformat()
        with self._database.writing() as db:
            db.executemany(
                "UPDATE recordings SET present = 0, updated_at = ? WHERE uri = ? AND present = 1",
                [(now, uri) for uri in uris],
            )

    def retry_failed(self, prefix: str) -> int:
        """Make every failed recording whose uri begins with the prefix pending again; return how many."""
        with self._database.writing() as db:
            return db.execute(
                "UPDATE recordings SET status = 'pending', attempts = 0, crashes = 0,"
                " note = NULL, failures_reset_at = ?"
                " WHERE status = 'failed' AND present = 1 AND substr(uri, 1, length(?)) = ?",
                (datetime.now(UTC).replace(tzinfo=None).isoformat(), prefix, prefix),
            ).rowcount

    def pending_partitions(self) -> dict[Partition, int]:
        """Return the number of pending recordings by partition, oldest partition first."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT date, shard, count(*) FROM recordings WHERE status = 'pending' AND present = 1"
                " GROUP BY date, shard ORDER BY date, shard"
            ).fetchall()
        return {Partition(date=date.fromisoformat(day), shard=shard): count for day, shard, count in rows}

    def backlog(self) -> tuple[Backlog, ...]:
        """Return what is pending in each partition, oldest partition first."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT date, shard, count(*), count(note), sum(size_bytes), min(updated_at), max(updated_at)"
                " FROM recordings"
                " WHERE status = 'pending' AND present = 1 GROUP BY date, shard ORDER BY date, shard"
            ).fetchall()
        return tuple(
            Backlog(
                partition=Partition(date=date.fromisoformat(day), shard=shard),
                recordings=count,
                deferred=deferred,
                size_bytes=int(size),  # PostgreSQL returns sums as decimals
                since=datetime.fromisoformat(since),
                changed=datetime.fromisoformat(changed),
            )
            for day, shard, count, deferred, size, since, changed in rows
        )

    def pending(self, partition: Partition) -> tuple[Pending, ...]:
        """Return the pending recordings of a partition, in the order in which they were first seen."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT recording_id, uri, version, size_bytes, attempts, crashes, note, failures_reset_at,"
                " redo_before, redo_stages"
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
                failures_reset_at=datetime.fromisoformat(failures_reset) if failures_reset else None,
                redo_before=datetime.fromisoformat(redo) if redo else None,
                redo_stages=frozenset(map(Stage, stages.split())) if stages else frozenset(),
            )
            for identity, uri, version, size, attempts, crashes, note, failures_reset, redo, stages in rows
        )

    def known(self, day: date | None = None) -> list[Recording]:
        """Return the recordings that are still in their source, ordered by uri.

        Args:
            day: Only recordings of this date of the lake; all if None.
        """
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT recording_id, uri, version, size_bytes, date, shard FROM recordings"
                " WHERE present = 1 AND (? = '' OR date = ?) ORDER BY uri",
                (str(day or ""), str(day or "")),
            ).fetchall()
        return [_recording(*row) for row in rows]

    def redo(self, recordings: Iterable[Recording], stages: Collection[Stage]) -> None:
        """Make recordings pending again and make the results of these stages again.

        Args:
            recordings: The recordings; one whose version has changed since is left out.
            stages: The stages whose present results no longer count.
        """
        now = datetime.now(UTC)
        named = " ".join(sorted(stages))
        with self._database.writing() as db:
            db.executemany(
                # an earlier request that has not been carried out yet stays valid
                "UPDATE recordings SET redo_stages ="
                " CASE WHEN status = 'pending' THEN coalesce(redo_stages, '') ELSE '' END || ' ' || ?,"
                " redo_before = ?, status = 'pending', attempts = 0, crashes = 0, note = NULL,"
                " updated_at = ? WHERE recording_id = ? AND version = ? AND status <> 'forgotten'",
                [
                    (named, now.replace(tzinfo=None).isoformat(), now.isoformat(), item.recording_id, item.version)
                    for item in recordings
                ],
            )

    def missing(self) -> list[tuple[str, Recording]]:
        """Return the recordings that are missing from their source and were decoded, with the hash of their sound."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT sound, recording_id, uri, version, size_bytes, date, shard FROM recordings"
                " WHERE present = 0 AND sound IS NOT NULL ORDER BY updated_at DESC"
            ).fetchall()
        return [(sound, _recording(*row)) for sound, *row in rows]

    def partition_of(self, recording_id: str) -> Partition | None:
        """Return the partition of a recording, also of a forgotten one; None if it was never seen."""
        with self._database.reading() as db:
            rows = db.execute("SELECT date, shard FROM recordings WHERE recording_id = ?", (recording_id,)).fetchall()
        return Partition(date=date.fromisoformat(rows[0][0]), shard=rows[0][1]) if rows else None

    def forget(self, recording_id: str) -> None:
        """Keep only the id of a recording, so that it is not registered again."""
        with self._database.writing() as db:
            db.execute(
                "UPDATE recordings SET status = 'forgotten', uri = recording_id, version = '', size_bytes = 0,"
                " fingerprint = NULL, note = NULL, sound = NULL, present = 0, updated_at = ? WHERE recording_id = ?",
                (datetime.now(UTC).isoformat(), recording_id),
            )

    def started(self, recording: Recording) -> None:
        """Count an attempt before the work begins, so that a death that nobody notices is counted too."""
        self._update(recording, "attempts = attempts + 1")

    def crashed(self, recording: Recording, note: str) -> None:
        """Count a crash: the process that worked on the recording died or hung."""
        self._update(recording, "crashes = crashes + 1, note = ?", note)

    def returned(self, recording: Recording) -> None:
        """Take an attempt back: it was not finished, for a reason that has nothing to do with the recording."""
        self._update(recording, "attempts = CASE WHEN attempts > 0 THEN attempts - 1 ELSE 0 END")

    def progressed(self, recording: Recording, *, sound: str | None = None) -> None:
        """Reset the counts, because a stage has finished the recording.

        Args:
            recording: The recording.
            sound: Hash of its sound, if it was decoded.
        """
        self._update(recording, "attempts = 0, crashes = 0, note = NULL, sound = coalesce(?, sound)", sound)

    def deferred(self, recording: Recording, note: str) -> None:
        """Leave the recording pending, because it could not be processed for now."""
        self._update(recording, "attempts = CASE WHEN attempts > 0 THEN attempts - 1 ELSE 0 END, note = ?", note)

    def reset_failures(self, recordings: Iterable[Recording]) -> None:
        """Try again what has failed on these recordings until now, because the recordings were not the cause."""
        now = datetime.now(UTC).replace(tzinfo=None).isoformat()
        for recording in recordings:
            self._update(recording, "attempts = 0, crashes = 0, note = NULL, failures_reset_at = ?", now)

    def settle(self, published: Mapping[str, Published]) -> None:
        """Record what was just published, by recording_id."""
        self._publish(published)

    def catch_up(self, manifest: Manifest) -> None:
        """Record what a run published that was killed between its commit and its `settle`."""
        # if the ledger already has this fingerprint, the recording was made pending again after the commit
        self._publish(manifest.recordings, unless_known=True)

    def _publish(self, published: Mapping[str, Published], *, unless_known: bool = False) -> None:
        known = " AND coalesce(fingerprint, '') <> ?" if unless_known else ""
        rows: list[Values] = [
            (entry.status, entry.fingerprint, identity, entry.version, *([entry.fingerprint] if unless_known else []))
            for identity, entry in published.items()
        ]
        with self._database.writing() as db:
            db.executemany(
                "UPDATE recordings SET status = ?, fingerprint = ?, attempts = 0, crashes = 0, note = NULL"  # noqa: S608
                f" WHERE recording_id = ? AND version = ?{known}",
                rows,
            )

    def _update(self, recording: Recording, change: str, *values: str | int | None) -> None:
        with self._database.writing() as db:
            db.execute(
                f"UPDATE recordings SET {change}, updated_at = ? WHERE recording_id = ? AND version = ?",  # noqa: S608
                (*values, datetime.now(UTC).isoformat(), recording.recording_id, recording.version),
            )


def _recording(identity: str, uri: str, version: str, size: int, day: str, shard: int) -> Recording:
    return Recording(
        recording_id=identity,
        uri=uri,
        version=version,
        size_bytes=size,
        partition=Partition(date=date.fromisoformat(day), shard=shard),
    )
