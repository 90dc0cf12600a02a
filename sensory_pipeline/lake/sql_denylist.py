"""Finds words with which a SELECT or PIVOT could still write.

There are two ways. Some functions run SQL text on a connection of their own. And DuckDB makes several statements of a
PIVOT: it runs those that list the columns, which may write, before it binds the last.
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb

_RUN_TEXT = frozenset({"json_execute_serialized_sql", "query"})
"""`query` runs nothing that writes, but could be given the name of the other in pieces."""
_WRITE = frozenset({"copy", "delete", "insert", "merge", "truncate", "update"})
"""What a WITH may contain."""


def writing_word(statement: str, *, pivots: bool) -> str | None:
    """Return the first such word; None if there is none.

    >>> writing_word("SELECT query FROM main.Query ('...')", pivots=False)
    'query'
    >>> writing_word("PIVOT a ON b IN (WITH x AS (INSERT INTO c FROM d) FROM x)", pivots=True)
    'insert'
    >>> writing_word("SELECT query, 'insert' FROM a", pivots=True)

    Args:
        statement: The statement.
        pivots: Whether DuckDB makes several of it.
    """
    found = list(_tokens(statement))
    for (kind, word), (_, following) in zip(found, [*found[1:], (None, "")], strict=True):
        name = word.strip('"').lower()
        if name in _RUN_TEXT and following == "(":
            return name
        if pivots and name in _WRITE and kind == duckdb.token_type.keyword:
            return name
    return None


def _tokens(statement: str) -> Iterator[tuple[duckdb.token_type, str]]:
    text = statement.encode()
    found = duckdb.tokenize(statement)
    ends = [place for place, _ in found[1:]] + [len(text)]
    for (place, kind), end in zip(found, ends, strict=True):
        if kind != duckdb.token_type.comment:
            yield kind, text[place:end].decode().strip()
