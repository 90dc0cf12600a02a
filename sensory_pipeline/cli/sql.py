"""`sensory sql`: ask the lake."""

from __future__ import annotations

import csv
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import duckdb
import typer
from rich.table import Table

from sensory_pipeline.cli.console import errors, output
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.views import connect, query
from sensory_pipeline.settings import Settings


class Format(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"


LakeOption = Annotated[Path | None, typer.Option("--lake", help="Folder of the lake. [default: $SENSORY_LAKE, lake]")]


def sql(
    statement: Annotated[str, typer.Argument(help='One SELECT, e.g. "SELECT * FROM words LIMIT 10".')],
    lake: LakeOption = None,
    format: Annotated[Format, typer.Option("--format", help="How to print the rows.")] = Format.TABLE,  # noqa: A002
) -> None:
    """Run one SELECT over recordings, segments, words, turns, speakers, embeddings, utterances, emotions
    and stages.

    Read-only; `DESCRIBE words` shows the columns of a table.
    """
    with connect(Lake.open(lake or Settings().lake)) as db:
        try:
            result = query(db, statement)
            names = [column[0] for column in result.description or ()]
            rows = result.fetchall()
        except duckdb.Error as error:
            errors.print(str(error), markup=False, soft_wrap=True)
            raise typer.Exit(2) from error
    show(names, rows, format)


def show(names: list[str], rows: list[tuple[Any, ...]], form: Format) -> None:
    """Print rows to standard output."""
    match form:
        case Format.TABLE:
            table = Table(*names)
            for row in rows:
                table.add_row(*("" if value is None else _brief(value) for value in row))
            output.print(table)
        case Format.CSV:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(names)
            writer.writerows(rows)
        case Format.JSON:
            print(  # noqa: T201 - machine-readable: no wrapping, no markup
                json.dumps([dict(zip(names, row, strict=True)) for row in rows], default=str, ensure_ascii=False)
            )


def _brief(value: object) -> str:
    text = f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return text.replace("[", "\\[")
