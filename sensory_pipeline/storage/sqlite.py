"""SQLite files that survive power cuts, shared by threads and processes of one host."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sensory_pipeline.core.errors import ConfigurationError, SensoryError

WAIT_S = 60
"""Seconds that a connection waits for another one's transaction."""


@contextmanager
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file for writing, in WAL mode; it is created if it does not exist.

    What is committed survives a power cut, and what is deleted cannot be read in free pages.
    """
    with closing(sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = ON")
        yield db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Hold the file's write lock for one transaction, which an error rolls back."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if db.in_transaction:  # SQLite itself rolls back after some errors, for example a full disk
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


@contextmanager
def explained(path: Path, damaged: Callable[[object], SensoryError]) -> Iterator[None]:
    """Say what SQLite's errors in the `with` block mean for the user.

    Args:
        path: The file.
        damaged: Returns the error for a damaged file, from what SQLite says.

    Raises:
        ConfigurationError: The file cannot be used.
        IntegrityError: One of our own constraints does not hold.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        raise ConfigurationError(f"cannot use {path} ({error}): check its permissions and the free space") from error
    except sqlite3.IntegrityError:
        raise
    except sqlite3.DatabaseError as error:
        raise damaged(error) from error
