"""`sensory ingest`: recordings of a folder, or in S3, into the lake."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from sensory_pipeline.automation.ingest import ingest as run_ingest
from sensory_pipeline.automation.ingest_report import IngestReport
from sensory_pipeline.automation.registration import register
from sensory_pipeline.cli.console import errors
from sensory_pipeline.cli.exit_codes import ExitCode
from sensory_pipeline.cli.ingest_summary import summarise
from sensory_pipeline.cli.lake_option import LakeOption, settings_of
from sensory_pipeline.cli.models import fetch_with_progress
from sensory_pipeline.cli.preview import preview
from sensory_pipeline.cli.progress import IngestProgress
from sensory_pipeline.cli.settings_prompt import RedoOption, agree
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.plans import Plans
from sensory_pipeline.processing.runs.runner import Runner
from sensory_pipeline.processing.setup import choices
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage import lock as locks
from sensory_pipeline.storage.s3_access import S3Access
from sensory_pipeline.storage.sources import check, why_empty

if TYPE_CHECKING:
    from dagster import JobDefinition


def ingest(
    source: Annotated[
        str, typer.Argument(help="Folder with recordings, including its subfolders, or s3://bucket/prefix.")
    ],
    lake: LakeOption = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Also process recordings that failed before, whatever the reason.")
    ] = False,
    confirm_missing: Annotated[
        bool,
        typer.Option(
            "--confirm-missing", help="Mark recordings as missing even if their whole source or folder is empty."
        ),
    ] = False,
    redo: RedoOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what is new, changed, to redo and missing; change nothing.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print nothing unless something failed or is left: for cron.")
    ] = False,
) -> None:
    """Find the recordings of a source and process those that are new, changed, or made under other settings.

    The lake keeps the settings that shape its results. If those of the environment and .env differ from them and
    recordings would be processed again, the command asks first; without a terminal it needs --redo.

    Finished work is never repeated, so you can stop the command and run it again at any time. Exit code 0 when the
    work is done, even if some recordings are bad; 1 if a run failed; 2 for wrong use, such as a source without
    recordings.
    """
    settings = settings_of(lake)
    if quiet:  # to wait for another ingest is no problem
        locks.log.setLevel(logging.ERROR)
    if dry_run:
        preview(source, settings, confirm_missing=confirm_missing, retry_failed=retry_failed)
        return
    report = ingest_folder(
        source, settings, retry_failed=retry_failed, confirm_missing=confirm_missing, redo=redo, quiet=quiet
    )
    if not quiet or report.problems:
        summarise(report, settings.lake)
    if not report.found and not report.emptied:
        raise ConfigurationError(why_empty(source, S3Access.of(settings)))
    if report.run_failures:
        raise typer.Exit(ExitCode.FAILED)


def ingest_folder(
    source: str,
    settings: Settings,
    *,
    retry_failed: bool = False,
    confirm_missing: bool = False,
    redo: bool = False,
    quiet: bool = False,
) -> IngestReport:
    """Ingest a source, without a summary; progress goes to standard error."""
    check(source)  # before there is a lake
    lake = Lake.create(settings.lake, shards=settings.shards, start_date=settings.start_date, ledger=settings.ledger)
    agree(lake, settings, redo=redo)

    def select(plans: Plans) -> IngestReport:
        return register(
            lake, plans, source, S3Access.of(settings), retry_failed=retry_failed, confirm_missing=confirm_missing
        )

    return process_pending(lake, settings, select, quiet=quiet)


def process_pending(
    lake: Lake, settings: Settings, select: Callable[[Plans], IngestReport], *, quiet: bool = False
) -> IngestReport:
    """Process what is pending, in this process; progress goes to standard error.

    Args:
        lake: The lake.
        settings: The settings.
        select: Makes recordings pending first.
        quiet: Whether to print no progress.
    """

    def make_job(engines: Runner) -> JobDefinition:
        from sensory_pipeline.definitions import build  # imported late: Dagster takes two seconds

        return build(settings, lake=lake, engines=engines).resolve_job_def("process_recordings")

    try:
        fetch_with_progress(choices(settings))
        with IngestProgress(shown=not quiet) as progress:
            return run_ingest(lake, settings, select, make_job, progress)
    except KeyboardInterrupt:
        errors.print("stopped; finished work is kept, and the next ingest continues")
        raise typer.Exit(ExitCode.STOPPED) from None
