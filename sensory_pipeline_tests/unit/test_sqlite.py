"""SQLite files: what a transaction leaves behind, and what errors say."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from sensory_pipeline.storage.sqlite import connection, transaction


def test_an_error_undoes_the_transaction(tmp_path: Path) -> None:
    with connection(tmp_path / "a.sqlite") as db:
        db.execute("CREATE TABLE words (word TEXT)")
        with pytest.raises(KeyError), transaction(db):
            db.execute("INSERT INTO words VALUES ('one')")
            raise KeyError
        with transaction(db):
            db.execute("INSERT INTO words VALUES ('two')")
    with connection(tmp_path / "a.sqlite") as db:
        assert db.execute("SELECT word FROM words").fetchall() == [("two",)]


def test_the_error_is_raised_for_which_sqlite_itself_rolled_back(tmp_path: Path) -> None:
    with connection(tmp_path / "a.sqlite") as db:
        db.execute("CREATE TABLE words (word TEXT UNIQUE ON CONFLICT ROLLBACK)")
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"), transaction(db):
            db.executemany("INSERT INTO words VALUES (?)", [("one",), ("one",)])
