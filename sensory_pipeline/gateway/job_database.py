"""The SQLite file of background jobs and of their webhooks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.storage.sqlite import connection, explained, transaction

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY,
    client TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'processing', 'completed', 'failed')),
    request TEXT NOT NULL,
    digest TEXT NOT NULL,
    idempotency_key TEXT,
    audio_s REAL NOT NULL,
    created_s REAL NOT NULL,
    finished_s REAL,
    starts INTEGER NOT NULL DEFAULT 0,
    result TEXT,
    status INTEGER,
    kind TEXT,
    error TEXT,
    UNIQUE (client, idempotency_key)
) STRICT;
CREATE TABLE IF NOT EXISTS webhooks (
    job_id TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    url TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    next_s REAL NOT NULL DEFAULT 0
) STRICT;
"""


class JobDatabase:
    """The file. Thread-safe, because each use has its own connection.

    Raises:
        ConfigurationError: The file cannot be used, or is damaged; any method may raise it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self.reading() as db:
            db.executescript(_SCHEMA)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction, which an error rolls back."""
        with self.reading() as db, transaction(db):
            yield db

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection."""
        with explained(self._path, self._damaged), connection(self._path) as db:
            db.execute("PRAGMA foreign_keys = ON")
            yield db

    def _damaged(self, why: object) -> ConfigurationError:
        return ConfigurationError(
            f"{self._path} is damaged ({why}): move it away and start the service again; its background jobs are lost"
        )
