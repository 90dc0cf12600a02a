"""The ledger's database in one SQLite file, for the processes of one host."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sensory_pipeline.core.errors import LakeDamaged
from sensory_pipeline.lake.database import Cursor, Transaction, Values
from sensory_pipeline.storage.sqlite import WAIT_S, connection, explained, transaction


@dataclass(frozen=True, slots=True)
class SqliteDatabase:
    """One SQLite file in WAL mode; writers take turns."""

    path: Path

    def exists(self) -> bool:
        return self.path.exists()

    def check(self) -> None:
        """Compare the table with its index: SQLite has no page checksums, but both must hold the same values."""
        if not self.exists():
            return
        with self.reading() as db:
            ((found,),) = db.execute("PRAGMA integrity_check(1)").fetchall()
        if found != "ok":
            raise self._damaged(found)

    def seal(self, db: Transaction, table: str, columns: Iterable[str], *, rebuild: bool) -> None:
        """Put every value in an index too, with which `check` compares it."""
        if rebuild:
            db.execute(f"DROP INDEX IF EXISTS {table}_whole")
        db.execute(f"CREATE INDEX IF NOT EXISTS {table}_whole ON {table} ({', '.join(columns)})")

    def exclusive(self) -> AbstractContextManager[Transaction]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            self.path.touch()  # with the umask's permissions; SQLite itself would not let a group write
        return self.writing()

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        # durable, or a recording that crashes the machine would never be counted as started
        with explained(self.path, self._damaged), connection(self.path) as db, transaction(db):
            yield _Statements(db)

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        with explained(self.path, self._damaged), closing(self._opened_to_read()) as db:
            yield _Statements(db)

    def _opened_to_read(self) -> sqlite3.Connection:
        """Open the file without writing anything, so that users without write permission can read the lake too."""
        for mode in ("mode=ro", "mode=ro&immutable=1"):  # the second if SQLite cannot create its lock files
            db = sqlite3.connect(f"{self.path.absolute().as_uri()}?{mode}", uri=True, timeout=WAIT_S)
            try:
                db.execute("SELECT count(*) FROM sqlite_master")
                return db
            except sqlite3.OperationalError as error:
                db.close()
                refused = error
                if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                    break
            except BaseException:
                db.close()
                raise
        raise refused

    def _damaged(self, why: object) -> LakeDamaged:
        return LakeDamaged(
            f"{self.path} is damaged ({why}): move it away and ingest again; what is published is known from "
            "the manifests"
        )


@dataclass(frozen=True, slots=True)
class _Statements:
    db: sqlite3.Connection

    def execute(self, sql: str, values: Values = ()) -> Cursor:
        return self.db.execute(sql, values)

    def executemany(self, sql: str, values: Iterable[Values]) -> None:
        self.db.executemany(sql, values)
