"""The command line's root: commands, exit codes, how errors are shown."""

from __future__ import annotations

import logging
import sys

import typer
from pydantic import ValidationError
from rich.markup import escape

from sensory_pipeline.cli import demo, dev, doctor, ingest, models, process, sql
from sensory_pipeline.cli.console import errors
from sensory_pipeline.core.errors import SensoryError
from sensory_pipeline.settings import Settings

WRONG_USE = 2

app = typer.Typer(
    name="sensory",
    help="Recordings in, SQL tables of words, speakers and emotions out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command(name="demo")(demo.demo)
app.command(name="ingest")(ingest.ingest)
app.command(name="sql")(sql.sql)
app.command(name="process")(process.process)
app.command(name="dev")(dev.dev)
app.command(name="doctor")(doctor.doctor)
app.add_typer(models.models, name="models")


def main() -> None:
    """Entry point: an error of ours is one line on standard error and exit code 2, never a traceback."""
    try:
        logging.basicConfig(level=Settings().log_level, format="%(levelname)s %(name)s: %(message)s")
        app()
    except SensoryError as error:
        errors.print(f"[red]{type(error).__name__}[/red]:", escape(str(error)), highlight=False, soft_wrap=True)
        sys.exit(WRONG_USE)
    except ValidationError as error:
        errors.print("[red]A setting is wrong[/red]:", escape(str(error)), highlight=False)
        sys.exit(WRONG_USE)
