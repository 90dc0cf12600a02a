"""The ledger's tables: their columns, and how a ledger of an older version gets them."""

from __future__ import annotations

from sensory_pipeline.core.errors import LakeDamaged
from sensory_pipeline.lake.database import Database
from sensory_pipeline.lake.listing_progress import TABLES

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


def prepare(database: Database) -> None:
    """Create the tables, or add the columns that they lack.

    Raises:
        LakeDamaged: A table has a column that this version does not know.
    """
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
