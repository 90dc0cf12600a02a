"""`sensory ingest`: a folder of recordings into the lake."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import dagster as dg
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from sensory_pipeline.automation.ingest import IngestReport, register
from sensory_pipeline.automation.ingest import ingest as run_ingest
from sensory_pipeline.automation.instance import prepare_home
from sensory_pipeline.cli.console import errors
from sensory_pipeline.cli.sql import LakeOption
from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.setup import processor
from sensory_pipeline.settings import Settings, dagster_home

WHY = "SELECT uri, error_class, error_message FROM recordings WHERE status = 'failed'"


def ingest(
    source: Annotated[Path, typer.Argument(help="Folder with recordings; its subfolders are read as well.")],
    lake: LakeOption = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what failed before, whatever the reason.")
    ] = False,
) -> None:
    """Register what is in a folder and process what is new, changed, or made under other settings.

    Exit code 0 when the work is done, even if some recordings are bad; 1 when a run failed; 2 on
    wrong use. What was done is never done again, so it can be stopped and repeated at will.
    """
    report = ingest_folder(source, lake or Settings().lake, retry_failed=retry_failed)
    summarise(report, lake or Settings().lake)
    if report.run_failures:
        raise typer.Exit(1)


def ingest_folder(source: Path, root: Path, *, retry_failed: bool = False) -> IngestReport:
    """Everything the command does but printing its summary; progress goes to standard error."""
    settings = Settings()
    lake = Lake.create(root, shards=settings.shards)
    logging.getLogger("dagster").setLevel(logging.ERROR)
    with _progress() as bar:
        steps = len(Stage)
        task = bar.add_task("looking for recordings", total=None)

        def done(stage: Stage, _recording: str) -> None:
            bar.update(task, advance=1, description=stage.value)

        with processor(settings, progress=done) as engines:
            registration, missing = register(
                lake, engines, source, start_date=settings.start_date, retry_failed=retry_failed
            )
            report = IngestReport(registration=registration, missing=missing)
            waiting = sum(lake.ledger.pending_partitions().values())
            bar.update(task, total=waiting * steps, description="starting")
            if not waiting:
                return report
            # imported late: Dagster's definitions take a second that wrong use need not wait for
            from sensory_pipeline.definitions import build

            def started(partition: Partition, _count: int) -> None:
                bar.update(task, description=f"partition {partition.key}")

            home = prepare_home(dagster_home() or root / ".dagster")
            with dg.DagsterInstance.from_config(str(home)) as instance:
                job = build(lake=lake, engines=engines).resolve_job_def("process_recordings")
                run_ingest(lake, job, instance, report, run_started=started)
    return report


def summarise(report: IngestReport, root: Path) -> None:
    """What was found, done and left, on standard error."""
    found = report.registration
    errors.print(
        f"found {found.new} new, {found.changed} changed, {found.stale} to be redone under the current settings, "
        f"{found.unchanged} unchanged" + (f", {report.missing} no longer there" if report.missing else "")
    )
    if report.runs:
        table = Table("stage", "recordings computed", title=f"{report.runs} runs")
        for stage in Stage:
            table.add_row(stage.value, str(report.computed.get(stage.value, 0)))
        errors.print(table)
    errors.print(
        f"processed {report.published} recordings ({report.audio_hours * 60:.1f} min of audio), "
        f"{report.failed} of them failed"
        + (f": {', '.join(f'{count} {kind}' for kind, count in report.errors.items())}" if report.errors else "")
    )
    if report.failed:
        errors.print(f'why: sensory sql --lake {root} "{WHY}"', soft_wrap=True)
    if report.pending:
        errors.print(f"{report.pending} recordings are still pending and are tried again by the next ingest")
    for failure in report.run_failures:
        errors.print(f"[red]a run failed[/red]: {failure}", soft_wrap=True)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=errors,
        transient=not errors.is_terminal,
    )
