"""What an ingest of a source would do: lists and compares, and writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from sensory_pipeline.lake.database import Database
from sensory_pipeline.lake.ledger_comparison import Verdict, present, verdicts
from sensory_pipeline.processing.plans import Plans
from sensory_pipeline.storage.s3_access import S3Access
from sensory_pipeline.storage.sources import listed, prefix_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What an ingest would find and do, as numbers of recordings where nothing else is said.

    Attributes:
        counts: Recordings of the listing by verdict.
        waiting: Unchanged ones that are still pending.
        retried: Unchanged ones that failed and would be tried again.
        missing: Recordings that would be marked as missing.
        emptied: Recordings of a source that is empty now; they would not be marked as missing.
        again: recording_ids of what would be processed and is neither new nor changed, so its length may be known.
        unreadable: What cannot be listed.
        skipped: Number of files and folders that are not recordings, by kind.
    """

    counts: Mapping[Verdict, int]
    waiting: int
    retried: int
    missing: int
    emptied: int
    again: tuple[str, ...]
    unreadable: tuple[str, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)

    @property
    def work(self) -> int:
        """Number of recordings that would be processed."""
        return self.counts[Verdict.NEW] + self.counts[Verdict.CHANGED] + len(self.again)


def forecast(
    database: Database | None, plans: Plans, source: str, access: S3Access, *, retry_failed: bool, confirm_missing: bool
) -> Forecast:
    """Return what `register` would find. Errors of the listing are raised.

    Args:
        database: The ledger's database; None if there is no lake yet.
        plans: The plan of each recording.
        source: A folder or S3 prefix.
        access: Access to S3.
        retry_failed: As for `register`.
        confirm_missing: As for `register`.
    """
    unseen = present(database, prefix_of(source))
    expected = len(unseen)
    counts: Counter[Verdict] = Counter()
    again: list[str] = []
    waiting = retried = 0
    listing = listed(source, access)
    for page in listing.pages:
        held = [item for item in page.objects if plans.hold(item.uri)]
        for identity, (verdict, known) in verdicts(database, held, lambda uri: plans.of(uri).fingerprint).items():
            counts[verdict] += 1
            unseen.discard(identity)
            status = known.status if known is not None and verdict is Verdict.UNCHANGED else None
            waiting += status == "pending"
            retried += status == "failed" and retry_failed
            if verdict is Verdict.STALE or status == "pending" or (status == "failed" and retry_failed):
                again.append(identity)
    unreadable = list(listing.unreadable)
    if not confirm_missing:
        unreadable += (f"{folder} (a lake)" for folder in listing.lakes if present(database, prefix_of(str(folder))))
    emptied = expected if not (confirm_missing or unreadable or counts.total()) else 0
    return Forecast(
        counts=counts,
        waiting=waiting,
        retried=retried,
        missing=0 if unreadable or emptied else len(unseen),
        emptied=emptied,
        again=tuple(again),
        unreadable=tuple(unreadable),
        skipped=dict(listing.skipped),
    )
