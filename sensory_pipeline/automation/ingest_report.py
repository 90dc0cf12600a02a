"""The report of an ingest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sensory_pipeline.lake.ledger_entries import Registration


@dataclass(slots=True, kw_only=True)
class IngestReport:
    """What an ingest did, as numbers of recordings where nothing else is said.

    Attributes:
        source: The source that was listed; empty for none.
        registration: What the listing brought.
        missing: Recordings that were marked as missing.
        emptied: Recordings of a source that is empty now; they are not marked as missing.
        skipped: Number of files and folders that are not recordings, by kind.
        published: Published recordings.
        failed: How many of them failed.
        partial: How many of them are damaged.
        pending: Recordings that are still pending.
        audio_hours: Hours of audio that were published.
        runs: Number of Dagster runs.
        computed: Recordings that were worked on, by stage.
        errors: Failed recordings by error class.
        run_failures: Why runs failed.
    """

    source: str = ""
    registration: Registration = field(default_factory=lambda: Registration(new=0, changed=0, stale=0, unchanged=0))
    missing: int = 0
    emptied: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    published: int = 0
    failed: int = 0
    partial: int = 0
    pending: int = 0
    audio_hours: float = 0.0
    runs: int = 0
    computed: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    run_failures: list[str] = field(default_factory=list)

    @property
    def found(self) -> int:
        """Number of recordings in the listing."""
        found = self.registration
        return found.new + found.changed + found.stale + found.unchanged

    @property
    def problems(self) -> bool:
        """Whether something failed, is damaged or is left, so that somebody should look."""
        return bool(self.failed or self.partial or self.pending or self.emptied or self.run_failures)
