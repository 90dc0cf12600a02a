"""`sensory ingest`: recordings of a folder, or in S3, into the lake."""

from __future__ import annotations

import logging
import shlex
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from sensory_pipeline.automation.registration import IngestReport, register
from sensory_pipeline.cli.console import counted, errors
from sensory_pipeline.cli.exit_codes import ExitCode
from sensory_pipeline.cli.models import fetch_with_progress
from sensory_pipeline.cli.preview import preview
from sensory_pipeline.cli.progress import IngestProgress
from sensory_pipeline.cli.settings_prompt import RedoOption, agree, settings_of
from sensory_pipeline.cli.sql import LakeOption
from sensory_pipeline.core.errors import ConfigurationError, without_class
from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.views import connect, query
from sensory_pipeline.processing.plans import Plans
from sensory_pipeline.processing.setup import choices, runner
from sensory_pipeline.settings import Settings, dagster_home
from sensory_pipeline.storage.local import path_of
from sensory_pipeline.storage.s3_access import S3Access
from sensory_pipeline.storage.sources import why_empty

WHY = "SELECT uri, error_class, error_message FROM recordings WHERE error_class IS NOT NULL"
_SHOWN_KINDS = 8


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
    """Everything the command does but printing its summary; progress goes to standard error."""
    lake = Lake.create(settings.lake, shards=settings.shards, start_date=settings.start_date, ledger=settings.ledger)
    agree(lake, settings, redo=redo)

    def listed(plans: Plans) -> IngestReport:
        return register(
            lake, plans, source, S3Access.of(settings), retry_failed=retry_failed, confirm_missing=confirm_missing
        )

    return work_off(lake, settings, listed, quiet=quiet)


def work_off(
    lake: Lake, settings: Settings, prepare: Callable[[Plans], IngestReport], *, quiet: bool = False
) -> IngestReport:
    """Process what is pending, in this process.

    Args:
        lake: The lake.
        settings: The settings.
        prepare: Makes recordings pending first.
        quiet: Whether to print no progress to standard error.
    """
    if settings.log_level == "WARNING":  # nobody has asked for more, and Dagster warns of what is of no concern here
        logging.getLogger("dagster").setLevel(logging.ERROR)
    try:
        fetch_with_progress(choices(settings))
        return _work_off(lake, settings, prepare, quiet=quiet)
    except KeyboardInterrupt:
        errors.print("stopped; finished work is kept, and the next ingest continues")
        raise typer.Exit(ExitCode.STOPPED) from None


def _work_off(lake: Lake, settings: Settings, prepare: Callable[[Plans], IngestReport], *, quiet: bool) -> IngestReport:
    with (
        watched_for_stop() as stop_asked,
        IngestProgress(shown=not quiet) as progress,
        runner(settings, progress=progress.step) as engines,
    ):
        report = prepare(engines.context.plans)
        if not (waiting := _waiting(lake)):
            return report
        progress.begin(waiting)
        # imported late: Dagster takes two seconds that wrong use, and a source without news, need not wait for
        from sensory_pipeline.automation.instance import open_instance
        from sensory_pipeline.automation.run_pending import ingest as run_ingest
        from sensory_pipeline.definitions import build

        def started(partition: Partition, _count: int) -> None:
            if report.runs:
                progress.left(_waiting(lake))
            if stop_asked():
                raise KeyboardInterrupt
            pending = (item.recording for item in lake.ledger.pending(partition))
            progress.partition({recording.recording_id: path_of(recording.uri).name for recording in pending})

        with open_instance(dagster_home() or lake.root / ".dagster") as instance:
            job = build(settings, lake=lake, engines=engines).resolve_job_def("process_recordings")
            run_ingest(lake, job, instance, engines, report, log_level=settings.log_level, run_started=started)
        if stop_asked():  # Dagster makes a failed run of it, if anything
            raise KeyboardInterrupt
        progress.left(report.pending)
    return report


@contextmanager
def watched_for_stop() -> Iterator[Callable[[], bool]]:
    """Gives a function that tells whether Ctrl-C was pressed.

    Dagster has a handler of its own while it runs, and loses a Ctrl-C between two steps; Python writes to this socket
    before it calls any handler.
    """
    asked, told = socket.socketpair()
    with asked, told:
        asked.setblocking(False)
        told.setblocking(False)
        before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)

        def stop_asked() -> bool:
            try:
                return signal.SIGINT in asked.recv(4096)
            except BlockingIOError:
                return False

        try:
            yield stop_asked
        finally:
            signal.set_wakeup_fd(before)


def _waiting(lake: Lake) -> int:
    return sum(lake.ledger.pending_partitions().values())


def summarise(report: IngestReport, root: Path) -> None:
    """What was found, done and left, on standard error."""
    found = report.registration
    errors.print(
        f"found {found.new} new, {found.changed} changed, {found.stale} to redo under the current settings, "
        f"{found.unchanged} unchanged" + (f", {report.missing} missing" if report.missing else "")
    )
    if report.emptied:
        errors.print(
            f"the source is empty, but had {counted(report.emptied, 'recording')}: is it mounted? Nothing is marked as "
            "missing; if the recordings were deleted, use --confirm-missing",
            soft_wrap=True,
        )
    if report.skipped:
        errors.print(f"skipped, not recordings: {_listed(report.skipped)}")
    summarise_work(report, root)


def _listed(kinds: Mapping[str, int]) -> str:
    most = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in most[_SHOWN_KINDS:])
    return ", ".join([f"{count} {kind}" for kind, count in most[:_SHOWN_KINDS]] + ([f"{rest} others"] if rest else []))


def summarise_work(report: IngestReport, root: Path) -> None:
    """What was done and left, on standard error."""
    if report.runs:
        table = Table("stage", "recordings computed", title=counted(report.runs, "run"))
        for stage in Stage:
            table.add_row(stage.value, str(report.computed.get(stage.value, 0)))
        errors.print(table)
    errors.print(
        f"processed {counted(report.published, 'recording')} ({report.audio_hours * 60:.1f} min of audio), "
        f"{report.failed} of them failed"
        + (f": {', '.join(f'{count} {kind}' for kind, count in report.errors.items())}" if report.errors else "")
        + (f"; {report.partial} are damaged and partly processed" if report.partial else "")
    )
    before = _failed(root) - report.failed
    if before > 0:
        errors.print(f"{counted(before, 'recording')} failed before: use --retry-failed to try again")
    if report.failed or report.partial or before > 0:
        errors.print(f'why: sensory sql --lake {shlex.quote(str(root))} "{WHY}"', soft_wrap=True)
    if report.pending:
        errors.print(f"still pending: {counted(report.pending, 'recording')}; the next ingest tries again")
    for failure, times in Counter(map(without_class, report.run_failures)).items():
        head = "a run failed" if times == 1 else f"{times} runs failed"
        errors.print(Text.assemble((head, "red"), f": {failure}"), soft_wrap=True)


def _failed(root: Path) -> int:
    with connect(Lake.open(root, ledger=Settings().ledger)) as db:
        row = query(db, "SELECT count(*) FROM recordings WHERE status = 'failed'").fetchone()
    return int(row[0]) if row else 0
