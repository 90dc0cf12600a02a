"""What is in a folder or in S3, into the ledger; and the report of an ingest, that begins there.

Nothing here needs Dagster, whose import takes longer than a source in which nothing is new.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sensory_pipeline.automation.discovery import sweep
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.latest import is_shown
from sensory_pipeline.lake.ledger import Registration
from sensory_pipeline.processing.plans import Plans
from sensory_pipeline.storage.s3_access import AS_FOUND, S3Access
from sensory_pipeline.storage.sources import prefix_of


@dataclass(slots=True, kw_only=True)
class IngestReport:
    """What an ingest did, in recordings. source: that was swept, empty for none; registration, missing, emptied: of
    the sweep, as is passed_over: how many files and folders of which kind are no recordings; partial: published, and
    damaged;
    computed: by stage; errors: by class; audio_hours: published; runs: Dagster runs, and run_failures the
    reasons of those that failed."""

    source: str = ""
    registration: Registration = field(default_factory=lambda: Registration(new=0, changed=0, stale=0, unchanged=0))
    missing: int = 0
    emptied: int = 0
    passed_over: Mapping[str, int] = field(default_factory=dict)
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
        """Recordings that the listing has."""
        found = self.registration
        return found.new + found.changed + found.stale + found.unchanged


def register(
    lake: Lake, plans: Plans, source: str, access: S3Access = AS_FOUND, *, retry_failed: bool, gone: bool = False
) -> IngestReport:
    """Bring the ledger up to date with a source; returns what was found.

    plans: what was published under another is pending again; access: to S3; gone: as for `sweep`.
    """
    for partition in lake.ledger.pending_partitions():
        published = lake.manifest(partition)
        if is_shown(lake.root, published):  # else its commit is for a run to finish, which holds the lease
            lake.ledger.catch_up(published)
    swept = sweep(lake, plans, source, access, gone=gone)
    if retry_failed:
        lake.ledger.retry_failed(prefix_of(source))
    return IngestReport(
        source=source,
        registration=swept.registration,
        missing=swept.missing,
        emptied=swept.emptied,
        passed_over=swept.passed_over,
    )
