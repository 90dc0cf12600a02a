"""Where the ledger's rows live: SQLite beside the tables, or PostgreSQL for several hosts.

Two drivers behind one interface. The SQL that they are given is what both understand, `?` stands for
a value, and times and dates are ISO text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

Values = Sequence[str | int | None]


class Answer(Protocol):
    """Of one statement: its rows, how many it changed, and the names of its columns first in each."""

    @property
    def rowcount(self) -> int: ...
    @property
    def description(self) -> Sequence[Any] | None: ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...


class Transaction(Protocol):
    """Statements that take effect together, or not at all."""

    def execute(self, sql: str, values: Values = ...) -> Answer: ...
    def executemany(self, sql: str, values: Iterable[Values]) -> None: ...


class Database(Protocol):
    """A database that several processes use at once.

    Each of its transactions raises ConfigurationError when it does not answer or refuses, LakeDamaged
    when its file is none of a database.
    """

    def exists(self) -> bool:
        """Whether there is one to read from."""

    def check(self) -> None:
        """Raises LakeDamaged when a value is not what was written, as far as can be told. Takes a second for
        200,000 recordings."""

    def seal(self, db: Transaction, table: str, columns: Iterable[str], *, anew: bool) -> None:
        """Have `check` see to these columns of a table. anew: there are others than before."""

    def exclusive(self) -> AbstractContextManager[Transaction]:
        """One process at a time, as for making and altering tables."""

    def writing(self) -> AbstractContextManager[Transaction]:
        """To change rows. Every UPDATE names the state it changes: others may have been there since."""

    def reading(self) -> AbstractContextManager[Transaction]:
        """To read, also without leave to write."""
