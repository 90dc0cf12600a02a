"""The ledger's database: SQLite beside the tables, or PostgreSQL for several hosts.

Both drivers have the same interface. SQL statements use only what both databases support, `?` is the placeholder for a
value, and times and dates are ISO 8601 text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

Values = Sequence[str | int | None]


class Cursor(Protocol):
    """The result of a statement, with the names that DB-API 2.0 (PEP 249) uses."""

    @property
    def rowcount(self) -> int: ...
    @property
    def description(self) -> Sequence[Any] | None: ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...


class Transaction(Protocol):
    """Statements that all take effect together, or not at all."""

    def execute(self, sql: str, values: Values = ...) -> Cursor: ...
    def executemany(self, sql: str, values: Iterable[Values]) -> None: ...


class Database(Protocol):
    """A database that several processes use at once.

    Every transaction raises ConfigurationError if the database does not answer or refuses access, and LakeDamaged if
    the file is not a valid database.
    """

    def exists(self) -> bool:
        """Return whether there is a database to read."""

    def check(self) -> None:
        """Look for damaged values, as far as the database can detect them; takes a second for 200,000 recordings.

        Raises:
            LakeDamaged: A value is not what was written.
        """

    def seal(self, db: Transaction, table: str, columns: Iterable[str], *, rebuild: bool) -> None:
        """Let `check` verify a table.

        Args:
            db: The transaction to do it in.
            table: Name of the table.
            columns: All its columns.
            rebuild: Whether the columns have changed since the last call.
        """

    def exclusive(self) -> AbstractContextManager[Transaction]:
        """Begin a transaction that only one process can hold at a time, to create or alter tables."""

    def writing(self) -> AbstractContextManager[Transaction]:
        """Begin a transaction that changes rows.

        Another process may have changed them since they were read, so every UPDATE names the state that it expects.
        """

    def reading(self) -> AbstractContextManager[Transaction]:
        """Begin a transaction that only reads; it needs no write permission."""
