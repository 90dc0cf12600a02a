"""The state of the ledger for readers, who need no write permission."""

from __future__ import annotations

from dataclasses import dataclass

from sensory_pipeline.lake.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSnapshot:
    """What readers need besides the manifests.

    Attributes:
        pending: Rows of the pending recordings of all partitions.
        missing: recording_ids that were no longer there when their source was last listed.
    """

    pending: list[dict[str, object]]
    missing: list[str]


def ledger_snapshot(database: Database) -> LedgerSnapshot:
    """Read the ledger in this database; the snapshot is empty if there is none."""
    if not database.exists():
        return LedgerSnapshot(pending=[], missing=[])
    database.check()
    with database.reading() as db:
        rows = db.execute(
            "SELECT recording_id, uri, version, size_bytes, date, shard, attempts, note FROM recordings"
            " WHERE status = 'pending' AND present = 1 ORDER BY recording_id"
        )
        names = [column[0] for column in rows.description or ()]
        pending = [dict(zip(names, row, strict=True)) for row in rows.fetchall()]
        missing = db.execute("SELECT recording_id FROM recordings WHERE present = 0").fetchall()
    return LedgerSnapshot(pending=pending, missing=[identity for (identity,) in missing])
