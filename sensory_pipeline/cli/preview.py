"""`sensory ingest --dry-run`: what an ingest would do, on standard error."""

from __future__ import annotations

from sensory_pipeline.automation.forecast import Forecast, forecast
from sensory_pipeline.cli.console import counted, errors
from sensory_pipeline.cli.settings_prompt import effort, show
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.ledger_comparison import Verdict
from sensory_pipeline.processing.effective_settings import changed
from sensory_pipeline.processing.setup import current_plans
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage.s3_access import S3Access
from sensory_pipeline.storage.sources import why_empty


def preview(source: str, settings: Settings, *, retry_failed: bool, confirm_missing: bool) -> None:
    """Print what an ingest would do.

    Raises:
        ConfigurationError: The source has no recordings.
    """
    plans, access = current_plans(settings), S3Access.of(settings)
    lake = Lake.open(settings.lake, ledger=settings.ledger) if (settings.lake / "lake.json").exists() else None
    if lake is None:
        errors.print(f"{settings.lake} would be made", soft_wrap=True)
        found = forecast(None, plans, source, access, retry_failed=retry_failed, confirm_missing=confirm_missing)
        hours = ""
    else:
        if differing := changed(lake, settings):
            show(differing)
        from sensory_pipeline.lake.durations import audio_hours

        found = forecast(
            lake.database, plans, source, access, retry_failed=retry_failed, confirm_missing=confirm_missing
        )
        hours = effort(lake.root, audio_hours(lake, found.again))
    _tell(found)
    if not (found.counts or found.emptied):
        raise ConfigurationError(why_empty(source, access))
    unknown = found.counts[Verdict.NEW] + found.counts[Verdict.CHANGED]
    least = f"{hours}, not counting what is new or changed" if hours and unknown else hours
    errors.print(f"would process {counted(found.work, 'recording')}{least}; nothing was changed", soft_wrap=True)


def _tell(found: Forecast) -> None:
    errors.print(
        ", ".join(
            f"{number} {what}"
            for number, what in (
                (found.counts[Verdict.NEW], "new"),
                (found.counts[Verdict.CHANGED], "changed"),
                (found.counts[Verdict.STALE], "to redo under the current settings"),
                (found.waiting, "still pending"),
                (found.retried, "to retry"),
                (found.counts[Verdict.UNCHANGED] - found.waiting - found.retried, "unchanged"),
                (found.missing, "missing"),
            )
            if number
        )
        or "nothing found",
        soft_wrap=True,
    )
    if found.emptied:
        errors.print(
            f"the source is empty, but had {counted(found.emptied, 'recording')}: is it mounted? Nothing would be "
            "marked as missing without --confirm-missing",
            soft_wrap=True,
        )
    if found.unreadable:
        errors.print(f"cannot list {'; '.join(found.unreadable)}", soft_wrap=True)
