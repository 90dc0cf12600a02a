"""Read-only SQL over what is published: one DuckDB view per table.

A connection sees the manifests as they were when it was opened. Times are in seconds, and every view has the
recording's uri, date and shard, and what made its rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa

from sensory_pipeline.core.errors import ConfigurationError, LakeDamaged
from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.ledger_snapshot import ledger_snapshot
from sensory_pipeline.lake.manifest import DataFile
from sensory_pipeline.lake.parquet import verify
from sensory_pipeline.lake.plain_files import DATA, GENERATIONS
from sensory_pipeline.lake.schema import Table
from sensory_pipeline.lake.sql_denylist import writing_word
from sensory_pipeline.lake.tables import TABLES
from sensory_pipeline.lake.view_definitions import DUCKDB_TYPES, view_sql

_NOT_MISSING = " WHERE recording_id NOT IN (SELECT recording_id FROM internal.missing)"
_LINE = re.compile(r"^LINE (\d+):", re.MULTILINE)
"""Where an error of DuckDB points to."""
_CLOSED = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "memory_limit": "50%",
}
"""What DuckDB must not do by itself, and the share of the machine's memory that a query may use."""


@contextmanager
def connect(
    lake: Lake,
    partitions: Iterable[Partition] | None = None,
    *,
    others: Sequence[Path] = (),
    include_missing: bool = False,
    asked: str | None = None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB connection with the views; it can read nothing but the lake's data files.

    What does not fit in memory goes to a temporary folder. DuckDB verifies no checksums, so the files are compared with
    theirs first.

    Args:
        lake: The lake.
        partitions: Only what these have published; None for all of them, and what is pending.
        others: CSV or Parquet files; each becomes a table with the file's name.
        include_missing: Whether recordings that are missing from their source have rows, with `present` false.
        asked: The statement that will be run; only the tables it needs are verified. None verifies all.

    Yields:
        The connection.

    Raises:
        LakeDamaged: A data file is missing or damaged.
        ConfigurationError: A file of `others` cannot be read, or its name cannot be a table's.
    """
    # before the manifests: what is published in between is then in both, and shown once
    snapshot = ledger_snapshot(lake.database)
    waiting = snapshot.pending if partitions is None else []
    published = lake.published() if partitions is None else [(each, lake.manifest(each)) for each in partitions]
    entries = [(name, entry) for _, manifest in published for name, entry in manifest.tables.items()]
    verify((lake.root / entry.path, entry.checksum) for name, entry in entries if _is_asked(name, asked))
    with (
        TemporaryDirectory(prefix="sensory-sql-", ignore_cleanup_errors=True) as spill,
        duckdb.connect(":memory:", config={**_CLOSED, "temp_directory": spill}) as db,
    ):
        folders = [str(lake.root / GENERATIONS), str(lake.root / DATA)]
        db.execute("SET allowed_directories = $folders", {"folders": folders})
        db.execute("CREATE SCHEMA internal")  # its own schema, so that SHOW TABLES lists only what users should query
        db.register("listed", _pending(waiting))
        db.execute("CREATE TABLE internal.pending AS SELECT * FROM listed")
        db.unregister("listed")
        db.execute(
            "CREATE TABLE internal.missing AS SELECT unnest($missing::VARCHAR[]) AS recording_id",
            {"missing": snapshot.missing},
        )
        db.execute("SET schema = 'internal'")
        try:
            for table in TABLES:
                _base(db, table, lake.root, [entry for name, entry in entries if name == table.name])
        except (duckdb.IOException, duckdb.InvalidInputException) as error:
            raise LakeDamaged(f"a data file of {lake.root} is missing or damaged: {error}") from error
        shown = _NOT_MISSING if not include_missing else ""
        db.execute(f"CREATE VIEW internal.shown AS SELECT * FROM internal.recordings{shown}")  # noqa: S608 - our own
        db.execute("SET schema = 'main'")
        for table in TABLES:
            db.execute(view_sql(table))
        for path in others:
            _add(db, path)
        db.execute("SET enable_external_access = false")
        db.execute("SET lock_configuration = true")
        yield db


def _is_asked(table: str, statement: str | None) -> bool:
    return statement is None or table in ("recordings", "stages") or table in statement.lower()


def query(db: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyConnection:
    """Run one SELECT.

    Raises:
        ConfigurationError: It is anything else.
        duckdb.Error: DuckDB refuses it.
    """
    return db.execute(only_select(db, sql))


def only_select(db: duckdb.DuckDBPyConnection, sql: str) -> str:
    """Return the one statement of `sql` after checking that it writes nothing.

    Raises:
        ConfigurationError: It is anything but one SELECT.
        duckdb.Error: DuckDB refuses it.
    """
    statements = db.extract_statements(sql)
    if len(statements) != 1:
        raise ConfigurationError(f"give one SQL statement, not {len(statements)}")
    # a PIVOT is of type MULTI, and so is a COPY of one
    if statements[0].type not in (duckdb.StatementType.SELECT, duckdb.StatementType.MULTI):
        raise ConfigurationError(f"only SELECT can be run on a lake, not {statements[0].type.name}")
    statement = _without_end(statements[0].query)
    if word := writing_word(statement, pivots=statements[0].type is not duckdb.StatementType.SELECT):
        raise ConfigurationError(f"only SELECT can be run on a lake, with nothing in it that writes, as {word!r} can")
    try:
        # DuckDB calls a WITH that writes a SELECT too, but refuses it as a subquery
        db.execute(f"SELECT * FROM (\n{statement}\n) LIMIT 0")  # noqa: S608 - the reader's own
    except (duckdb.BinderException, duckdb.ParserException) as error:
        if isinstance(error, duckdb.ParserException) or "must be at the top level" in str(error):
            raise ConfigurationError("only SELECT can be run on a lake, with nothing in it that writes") from error
        raise type(error)(_LINE.sub(lambda line: f"LINE {int(line[1]) - 1}:", str(error))) from None
    return statement


def _without_end(statement: str) -> str:
    """Remove the semicolon and the spaces and comments after it."""
    text = statement.encode()
    places = (place for place, _ in duckdb.tokenize(statement) if text[place : place + 1] == b";")
    return text[: next(places, None)].decode()


def _base(db: duckdb.DuckDBPyConnection, table: Table, root: Path, entries: Sequence[DataFile]) -> None:
    """Create a view of a table's files that has all our columns, which files of an older version may lack."""
    columns = ", ".join(f"{c.name} {DUCKDB_TYPES[c.type]}" for c in table.columns)
    db.execute(f"CREATE TABLE internal.no_{table.name} ({columns}, date DATE, shard INTEGER)")
    parts = [f"SELECT * FROM internal.no_{table.name}"]  # noqa: S608
    current = tuple(column.name for column in table.columns)
    # files with the same columns are read together: DuckDB then takes the schema from the first one
    for age, files in {
        "new": [str(root / entry.path) for entry in entries if entry.columns == current],
        "old": [str(root / entry.path) for entry in entries if entry.columns != current],
    }.items():
        if files:
            rows = db.read_parquet(files, hive_partitioning=True, union_by_name=age == "old")
            rows.create_view(f"{age}_{table.name}")
            parts.append(f"SELECT * FROM internal.{age}_{table.name}")  # noqa: S608
    db.execute(f"CREATE VIEW internal.{table.name} AS {' UNION ALL BY NAME '.join(parts)}")


def _add(db: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Add a file of the user as a table."""
    name = path.stem
    if not re.fullmatch(r"[A-Za-z_]\w*", name) or name.lower() in {table.name for table in TABLES}:
        raise ConfigurationError(
            f"{path}: {name} cannot be its table: rename the file with letters, digits and _, and not like a table of "
            "the lake"
        )
    try:
        rows = db.read_parquet(str(path)) if path.suffix.lower() == ".parquet" else db.read_csv(str(path))
        rows.create(f'"{name}"')
    except duckdb.Error as error:
        raise ConfigurationError(f"{path} cannot be read as CSV or Parquet: {error}") from error


def _pending(rows: list[dict[str, object]]) -> pa.Table:
    schema = pa.schema(
        [(name, pa.string()) for name in ("recording_id", "uri", "version", "note")]
        + [("size_bytes", pa.int64()), ("date", pa.date32()), ("shard", pa.int32())]
    )
    for row in rows:
        row["date"] = date.fromisoformat(str(row["date"]))
    # from_pylist imports pandas where it is installed
    return pa.Table.from_pylist(rows, schema=schema) if rows else schema.empty_table()
