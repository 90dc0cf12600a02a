"""What an ingest found, did and left, on standard error."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from rich.table import Table
from rich.text import Text

from sensory_pipeline.automation.ingest_report import IngestReport
from sensory_pipeline.cli.console import counted, errors, length
from sensory_pipeline.core.errors import without_class
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.views import connect, query
from sensory_pipeline.settings import Settings

_WHY = "SELECT uri, error_class, error_message FROM recordings WHERE error_class IS NOT NULL"
_SHOWN_KINDS = 8


def summarise(report: IngestReport, root: Path) -> None:
    """Print what was found, done and left."""
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
    if report.found or report.emptied or report.runs:
        summarise_work(report, root)


def _listed(kinds: Mapping[str, int]) -> str:
    most = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in most[_SHOWN_KINDS:])
    return ", ".join([f"{count} {kind}" for kind, count in most[:_SHOWN_KINDS]] + ([f"{rest} others"] if rest else []))


def summarise_work(report: IngestReport, root: Path) -> None:
    """Print what was done and left."""
    if report.runs:
        table = Table("stage", "recordings computed", title=counted(report.runs, "run"))
        for stage in Stage:
            table.add_row(stage.value, str(report.computed.get(stage.value, 0)))
        errors.print(table)
    errors.print(
        f"processed {counted(report.published, 'recording')} ({length(report.audio_hours)} of audio), "
        f"{report.failed} of them failed"
        + (f": {', '.join(f'{count} {kind}' for kind, count in report.errors.items())}" if report.errors else "")
        + (f"; {report.partial} damaged and partly processed" if report.partial else "")
    )
    before = _failed(root) - report.failed
    if before > 0:
        errors.print(f"{counted(before, 'recording')} failed before: use --retry-failed to try again")
    if report.failed or report.partial or before > 0:
        errors.print(f'why: sensory sql --lake {shlex.quote(str(root))} "{_WHY}"', soft_wrap=True)
    if report.pending:
        errors.print(f"still pending: {counted(report.pending, 'recording')}; the next ingest tries again")
    for failure, times in Counter(map(without_class, report.run_failures)).items():
        head = "a run failed" if times == 1 else f"{times} runs failed"
        errors.print(Text.assemble((head, "red"), f": {failure}"), soft_wrap=True)


def _failed(root: Path) -> int:
    with connect(Lake.open(root, ledger=Settings().ledger)) as db:
        row = query(db, "SELECT count(*) FROM recordings WHERE status = 'failed'").fetchone()
    return int(row[0]) if row else 0
