"""What the ledger tells readers, who may not be allowed to write to it."""

from __future__ import annotations

from dataclasses import dataclass

from sensory_pipeline.lake.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What readers need to know beside the manifests. waiting: rows of what waits, over all partitions;
    gone: recording_ids of what was no longer there when its source was last listed."""

    waiting: list[dict[str, object]]
    gone: list[str]


def standing(database: Database) -> Standing:
    """As the ledger in this database has it; nothing where there is none."""
    if not database.exists():
        return Standing(waiting=[], gone=[])
    database.check()
    with database.reading() as db:
        rows = db.execute(
            "SELECT recording_id, uri, version, size_bytes, date, shard, attempts, note FROM recordings"
            " WHERE status = 'pending' AND present = 1 ORDER BY recording_id"
        )
        names = [column[0] for column in rows.description or ()]
        waiting = [dict(zip(names, row, strict=True)) for row in rows.fetchall()]
        gone = db.execute("SELECT recording_id FROM recordings WHERE present = 0").fetchall()
    return Standing(waiting=waiting, gone=[identity for (identity,) in gone])
