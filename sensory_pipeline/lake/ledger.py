"""The ledger: which recordings were found, and how often they were tried.

The manifests say what is published; the ledger says what is still to do. Every change of a recording's state names the
version that it is about, so a result for an old version never marks a new version as done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, date, datetime
from itertools import islice

from sensory_pipeline.core.recordings import Partition, Recording, SourceObject, recording_id
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.lake.attempts import Attempts
from sensory_pipeline.lake.database import Database, Values
from sensory_pipeline.lake.ledger_comparison import Verdict
from sensory_pipeline.lake.ledger_entries import Backlog, Pending, Registration
from sensory_pipeline.lake.ledger_registration import register_page
from sensory_pipeline.lake.ledger_schema import prepare
from sensory_pipeline.lake.listing_progress import Sweeps
from sensory_pipeline.lake.manifest import Manifest, Published

_PAGE = 1000
"""Number of objects that are registered together; S3 lists as many at once."""


class Ledger:
    """The ledger in its database; several processes can use it at once.

    Attributes:
        attempts: How often recordings were tried.
        sweeps: How far sources are listed.
    """

    def __init__(self, database: Database) -> None:
        """Open the ledger; create it or add new columns where necessary.

        Args:
            database: Its database.

        Raises:
            LakeDamaged: The ledger is damaged, or was written by a newer version.
        """
        self._database = database
        database.check()
        self.attempts = Attempts(database)
        self.sweeps = Sweeps(database)
        prepare(database)

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
            register_page(self._database, page, counts, fingerprint, shards, start_date)
        return Registration(
            new=counts[Verdict.NEW],
            changed=counts[Verdict.CHANGED],
            stale=counts[Verdict.STALE],
            unchanged=counts[Verdict.UNCHANGED],
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


def _recording(identity: str, uri: str, version: str, size: int, day: str, shard: int) -> Recording:
    return Recording(
        recording_id=identity,
        uri=uri,
        version=version,
        size_bytes=size,
        partition=Partition(date=date.fromisoformat(day), shard=shard),
    )
