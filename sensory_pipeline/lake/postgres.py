"""The ledger's database in PostgreSQL, for several hosts. Each lake has its own schema."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

import psycopg2
from psycopg2.errors import InsufficientPrivilege, InvalidSchemaName, UndefinedTable
from psycopg2.extensions import connection, cursor, make_dsn
from psycopg2.extras import execute_batch
from psycopg2.sql import SQL, Identifier
from pydantic import SecretStr

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.lake.database import Cursor, Transaction, Values

_PAUSES_S = (0, 1, 4, 10)  # before each attempt to reconnect: a server that restarts is soon back
_EXCLUSIVE = 0x5E4504  # an arbitrary number, the same in every process
_BATCH = 500


@dataclass(slots=True)
class PostgresDatabase:
    """A schema of a PostgreSQL database.

    It keeps its connection between transactions, because connecting takes longer than a transaction.

    Attributes:
        url: In the form postgresql://user:password@host/name.
        schema: Name of the lake's schema.
    """

    url: SecretStr
    schema: str
    _idle: list[connection] = field(default_factory=list)
    _process: int = field(default_factory=os.getpid)

    def exists(self) -> bool:
        return True  # a connection shows whether it does

    def check(self) -> None:
        """Do nothing: PostgreSQL has its own page checksums."""

    def seal(self, db: Transaction, table: str, columns: Iterable[str], *, rebuild: bool) -> None:
        """Do nothing: PostgreSQL has its own page checksums."""

    @contextmanager
    def exclusive(self) -> Iterator[Transaction]:
        with self.writing() as db:
            db.execute("SELECT pg_advisory_xact_lock(?)", (_EXCLUSIVE,))
            assert isinstance(db, _Statements)
            db.cursor.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(self.schema)))
            yield db

    def writing(self) -> AbstractContextManager[Transaction]:
        return self._transaction("READ WRITE")

    def reading(self) -> AbstractContextManager[Transaction]:
        return self._transaction("READ ONLY")

    @contextmanager
    def _transaction(self, mode: str) -> Iterator[Transaction]:
        with self._explained():
            db = self._begun(mode)
            try:
                with db.cursor() as statements:
                    yield _Statements(statements)
                db.commit()
            except BaseException:
                with suppress(psycopg2.Error):
                    db.rollback()
                raise
            finally:
                if not db.closed:
                    self._idle.append(db)

    def _begun(self, mode: str) -> connection:
        """Begin a transaction on a kept connection, or on a new one if the kept one has died."""
        if self._process != os.getpid():  # after a fork: these belong to the parent
            self._idle, self._process = [], os.getpid()
        patient = bool(self._idle)  # the server has answered before
        while self._idle:
            db = self._idle.pop()
            try:
                self._begin(db, mode)
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                db.close()
            else:
                return db
        db = self._connected(_PAUSES_S if patient else (0,))
        self._begin(db, mode)
        return db

    def _begin(self, db: connection, mode: str) -> None:
        with db.cursor() as statements:
            statements.execute(f"SET TRANSACTION {mode}")
            # only for this transaction, so that it works through a connection pooler
            statements.execute(SQL("SET LOCAL search_path TO {}").format(Identifier(self.schema)))

    def _connected(self, pauses_s: Iterable[float]) -> connection:
        defaults = {"connect_timeout": "10", "application_name": "sensory-pipeline"}
        dsn = make_dsn(**{**defaults, **_parameters(self.url)})
        for pause_s in pauses_s:
            time.sleep(pause_s)
            try:
                return psycopg2.connect(dsn)
            except psycopg2.OperationalError as error:
                failed = error
        raise failed

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            raise ConfigurationError(
                f"the ledger's database does not answer ({_first_line(error)}): start it, or check SENSORY_LEDGER"
            ) from error
        except (InsufficientPrivilege, InvalidSchemaName, UndefinedTable) as error:
            raise ConfigurationError(
                f"the ledger in this database cannot be used ({_first_line(error)}): its schema is {self.schema}; "
                "check SENSORY_LEDGER and the permissions of its user"
            ) from error


@dataclass(frozen=True, slots=True)
class _Statements:
    cursor: cursor

    def execute(self, sql: str, values: Values = ()) -> Cursor:
        self.cursor.execute(sql.replace("?", "%s"), _storable(values))
        return self.cursor

    def executemany(self, sql: str, values: Iterable[Values]) -> None:
        execute_batch(self.cursor, sql.replace("?", "%s"), map(_storable, values), page_size=_BATCH)


def _storable(values: Values) -> Values:
    """Remove NUL characters, which PostgreSQL does not store in text; an error message may contain one."""
    return [value.replace("\0", "") if isinstance(value, str) else value for value in values]


def _parameters(url: SecretStr) -> dict[str, str]:
    """Return the parameters for libpq; it would quote the URL itself in its error messages.

    >>> _parameters(SecretStr("postgresql://me:p%40ss@db.local:5433/lake?sslmode=require")) == {
    ...     "user": "me", "password": "p@ss", "host": "db.local", "port": "5433", "dbname": "lake",
    ...     "sslmode": "require"}
    True
    """
    try:
        parts = urlsplit(url.get_secret_value())
        given = {
            "user": parts.username,
            "password": parts.password,
            "host": parts.hostname,
            "port": str(parts.port) if parts.port else None,
            "dbname": parts.path.removeprefix("/"),
        }
    except ValueError:  # not chained: it may contain the password
        raise ConfigurationError("SENSORY_LEDGER is not a URL: use postgresql://user:password@host/name") from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise ConfigurationError("SENSORY_LEDGER is not a PostgreSQL URL: use postgresql://user:password@host/name")
    return {**{name: unquote(value) for name, value in given.items() if value}, **dict(parse_qsl(parts.query))}


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
