"""The registration of a source in the ledger.

Nothing here imports Dagster: the import takes longer than listing a source in which nothing is new.
"""

from __future__ import annotations

from sensory_pipeline.automation.discovery import sweep
from sensory_pipeline.automation.ingest_report import IngestReport
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.plain_files import is_shown
from sensory_pipeline.processing.plans import Plans
from sensory_pipeline.storage.s3_access import AS_FOUND, S3Access
from sensory_pipeline.storage.sources import prefix_of


def register(
    lake: Lake,
    plans: Plans,
    source: str,
    access: S3Access = AS_FOUND,
    *,
    retry_failed: bool,
    confirm_missing: bool = False,
) -> IngestReport:
    """Bring the ledger up to date with a source, and return what was found.

    Args:
        lake: The lake.
        plans: The plan of each recording; what was published under another plan becomes pending again.
        source: A folder or S3 prefix.
        access: Access to S3.
        retry_failed: Whether to make failed recordings of the source pending again.
        confirm_missing: As for `sweep`.
    """
    for partition in lake.ledger.pending_partitions():
        published = lake.manifest(partition)
        if is_shown(lake.root, published):  # else its commit is for a run to finish, which holds the lease
            lake.ledger.catch_up(published)
    swept = sweep(lake, plans, source, access, confirm_missing=confirm_missing)
    if retry_failed:
        lake.ledger.retry_failed(prefix_of(source))
    return IngestReport(
        source=source,
        registration=swept.registration,
        missing=swept.missing,
        emptied=swept.emptied,
        skipped=swept.skipped,
    )
