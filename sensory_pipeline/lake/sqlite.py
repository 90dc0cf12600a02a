"""A database in one SQLite file, safe to use from several processes of one host."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sensory_pipeline.core.errors import ConfigurationError, LakeDamaged
from sensory_pipeline.lake.database import Answer, Transaction, Values


@dataclass(frozen=True, slots=True)
class SqliteDatabase:
    """One file in WAL mode. Writers take turns."""

    path: Path

    def exists(self) -> bool:
        return self.path.exists()

    def check(self) -> None:
        """SQLite's pages have no checksums, but an index has to say what its table says."""
        if not self.exists():
            return
        with self.reading() as db:
            ((found,),) = db.execute("PRAGMA integrity_check(1)").fetchall()
        if found != "ok":
            raise self._damaged(found)

    def seal(self, db: Transaction, table: str, columns: Iterable[str], *, anew: bool) -> None:
        """Every value stands in an index too."""
        if anew:
            db.execute(f"DROP INDEX IF EXISTS {table}_whole")
        db.execute(f"CREATE INDEX IF NOT EXISTS {table}_whole ON {table} ({', '.join(columns)})")

    def exclusive(self) -> AbstractContextManager[Transaction]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            self.path.touch()  # by the umask; SQLite keeps a group from writing whatever that says
        return self.writing()

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        with self._explained(), closing(sqlite3.connect(self.path, timeout=60, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = WAL")
            # or a recording that takes down the machine would never be counted as started
            db.execute("PRAGMA synchronous = FULL")
            # what is forgotten is not to be read out of free pages
            db.execute("PRAGMA secure_delete = ON")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield _Statements(db)
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        with self._explained(), closing(self._opened_to_read()) as db:
            yield _Statements(db)

    def _opened_to_read(self) -> sqlite3.Connection:
        """Writes nothing, so that those who may not write to the lake can ask it too."""
        for mode in ("mode=ro", "mode=ro&immutable=1"):  # without a place for its locks, SQLite wants the latter
            db = sqlite3.connect(f"{self.path.absolute().as_uri()}?{mode}", uri=True, timeout=60)
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

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise ConfigurationError(f"cannot use {self.path} ({error}): see to its permissions and space") from error
        except sqlite3.IntegrityError:  # a rule of ours
            raise
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def _damaged(self, why: object) -> LakeDamaged:
        return LakeDamaged(
            f"{self.path} is damaged ({why}): move it away and ingest again; what is published is known from "
            "the manifests"
        )


@dataclass(frozen=True, slots=True)
class _Statements:
    db: sqlite3.Connection

    def execute(self, sql: str, values: Values = ()) -> Answer:
        return self.db.execute(sql, values)

    def executemany(self, sql: str, values: Iterable[Values]) -> None:
        self.db.executemany(sql, values)
