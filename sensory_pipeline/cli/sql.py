"""`sensory sql`: ask the lake."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import duckdb
import pyarrow as pa
import typer
from rich.table import Column, Table

from sensory_pipeline.cli.console import errors, output, reader_may_leave
from sensory_pipeline.cli.lake_option import LakeOption
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.core.escaping import visible
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.views import connect, only_select, query
from sensory_pipeline.settings import Settings


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


ROWS_AT_ONCE = 10_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What spreadsheets take for the beginning of one: owasp.org/www-community/attacks/CSV_Injection."""
MOST_SHOWN = 1_000
"""Rows of a table for the eye; it is measured as a whole before its first line is printed."""


def sql(
    statement: Annotated[
        str, typer.Argument(help='One SELECT, e.g. "SELECT * FROM words LIMIT 10"; - reads it from standard input.')
    ],
    lake: LakeOption = None,
    format: Annotated[Format, typer.Option("--format", help="How to print the rows.")] = Format.TABLE,  # noqa: A002
    others: Annotated[
        list[Path] | None,
        typer.Option(
            "--with", help="A CSV or Parquet file to join with: calls.csv becomes the table calls. Repeatable."
        ),
    ] = None,
    include_missing: Annotated[
        bool, typer.Option("--include-missing", help="Include rows of recordings that are missing from their source.")
    ] = False,
) -> None:
    """Ask a lake a question in SQL: one SELECT, which never changes the lake.

    Tables: recordings, segments, words, turns, speakers, embeddings, utterances, emotions, stages.
    `DESCRIBE words` shows the columns of a table.
    """
    settings = Settings()
    if format is Format.PARQUET and sys.stdout.isatty():
        raise ConfigurationError("Parquet cannot be shown in a terminal: append > rows.parquet")
    opened = Lake.open((lake or settings.lake).absolute(), ledger=settings.ledger)
    asked = sys.stdin.read() if statement == "-" else statement
    with (
        connect(opened, others=others or (), include_missing=include_missing, asked=asked) as db,
        reader_may_leave(),
    ):
        try:
            if format is Format.PARQUET:
                _write_parquet(db.sql(only_select(db, asked)))
            else:
                result = query(db, asked)
                show([column[0] for column in result.description or ()], _rows(result), format)
        except duckdb.Error as error:
            raise ConfigurationError(str(error)) from error


def show(names: list[str], rows: Iterable[tuple[Any, ...]], form: Format) -> None:
    """Print rows to standard output, as they come; a table is for the eye, and holds the first ones only."""
    match form:
        case Format.TABLE:
            rows = iter(rows)
            _show_table(names, [[_brief(value) for value in row] for row in islice(rows, MOST_SHOWN)])
            if next(rows, None) is not None:
                errors.print(f"only the first {MOST_SHOWN} rows; use --format csv for all", style="dim")
        case Format.CSV:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(map(_cell, names))
            writer.writerows(map(_cell, row) for row in rows)
        case Format.JSON:
            keys = _distinct(names)
            between = "["
            for row in rows:
                values = dict(zip(keys, map(_finite, row), strict=True))
                sys.stdout.write(between + json.dumps(values, default=str, ensure_ascii=False, allow_nan=False))
                between = ",\n "
            sys.stdout.write("[]\n" if between == "[" else "]\n")


def _write_parquet(rows: duckdb.DuckDBPyRelation) -> None:
    from pyarrow.parquet import ParquetWriter  # as long to import as all else that a question needs

    batches = rows.to_arrow_reader(ROWS_AT_ONCE)
    names = _distinct(batches.schema.names)
    schema = pa.schema([field.with_name(name) for field, name in zip(batches.schema, names, strict=True)])
    with ParquetWriter(sys.stdout.buffer, schema) as written:
        for batch in batches:
            written.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))


def _rows(result: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    """They are calculated while they are read."""
    while rows := result.fetchmany(ROWS_AT_ONCE):
        yield from rows


def _distinct(names: list[str]) -> list[str]:
    """JSON's objects hold a name once, SQL's rows may hold it twice."""
    return [f"{name}_{before}" if (before := names[:place].count(name)) else name for place, name in enumerate(names)]


def _cell(value: object) -> object:
    """Return text that a spreadsheet takes for no formula, and a terminal for no command."""
    if not isinstance(value, str):
        return value
    text = f"'{value}" if value.startswith(_FORMULA) else value
    return visible(text) if sys.stdout.isatty() else text


def _finite(value: object) -> object:
    """JSON has no infinity, and no nan."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _show_table(names: list[str], rows: list[list[str]]) -> None:
    """One line a row, or a line a value where the columns do not fit."""
    table = Table(*(Column(name, overflow="fold") for name in names))
    for row in rows:
        table.add_row(*row)
    if not rows or output.measure(table).minimum < output.width:
        output.print(table)
        return
    width = max(map(len, names))
    for number, row in enumerate(rows, start=1):
        output.print(f"row {number}", style="bold")
        for name, value in zip(names, row, strict=True):
            output.print(f"{name:{width}} | {value}", soft_wrap=True)
    errors.print("too wide for a table; use --format csv for a file or another program", style="dim")


def _brief(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
