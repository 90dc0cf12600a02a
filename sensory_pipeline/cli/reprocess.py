"""`sensory reprocess`: recordings once more through the engines, though nothing has changed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from sensory_pipeline.automation.ingest_report import IngestReport
from sensory_pipeline.cli.console import counted, errors
from sensory_pipeline.cli.exit_codes import ExitCode
from sensory_pipeline.cli.ingest import process_pending
from sensory_pipeline.cli.ingest_summary import summarise_work
from sensory_pipeline.cli.lake_option import LakeOption, settings_of
from sensory_pipeline.cli.settings_prompt import RedoOption, agree
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.core.recordings import Recording
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.plans import Plans
from sensory_pipeline.processing.runs.reprocess import engines_of
from sensory_pipeline.processing.runs.reprocess import reprocess as mark
from sensory_pipeline.storage.sources import uri_of


def reprocess(
    recordings: Annotated[
        list[str] | None, typer.Argument(help="Uris from the table `recordings`, or paths.", show_default="all")
    ] = None,
    lake: LakeOption = None,
    date: Annotated[
        datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="Only recordings of this date of the lake.")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option("--engine", help="Only the work of this engine (a name from `stages`), and what depends on it."),
    ] = None,
    redo: RedoOption = False,
) -> None:
    """Process recordings again: some of them, those of a date, or the work of one engine. You can combine these.

    Old rows stay until new ones replace them. The exit codes are those of `sensory ingest`.
    """
    if not (recordings or date or engine):
        raise ConfigurationError("choose what to process again: recordings, --date 2026-11-22 or --engine whisper")
    settings = settings_of(lake)
    opened = Lake.open(settings.lake, ledger=settings.ledger)
    opened.check_made_with(shards=settings.shards, start_date=settings.start_date)
    agree(opened, settings, redo=redo)

    def select(plans: Plans) -> IngestReport:
        if engine is not None and engine not in (known := engines_of(plans)):
            raise ConfigurationError(f"the engine {engine!r} is not in use: choose from {', '.join(known)}")
        chosen = opened.ledger.known(date.date() if date else None)
        if recordings:
            chosen = _of_uris(chosen, recordings)
        marked = mark(opened, plans, chosen, engine=engine)
        errors.print(f"{counted(marked, 'recording')} to process again")
        return IngestReport()

    report = process_pending(opened, settings, select)
    summarise_work(report, opened.root)
    if report.run_failures:
        raise typer.Exit(ExitCode.FAILED)


def _of_uris(known: list[Recording], given: list[str]) -> list[Recording]:
    by_uri = {recording.uri: recording for recording in known}
    wanted = {uri: text for text in given if (uri := uri_of(text))}
    if unknown := [text for uri, text in wanted.items() if uri not in by_uri]:
        raise ConfigurationError(
            f"the lake does not have {', '.join(unknown)}, or it is missing from its source: see the table `recordings`"
        )
    return [by_uri[uri] for uri in wanted]
