"""Brings the ledger up to date with the sources: a sweep over each, complete or for a limited time."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sensory_pipeline.core.errors import SensoryError
from sensory_pipeline.core.recordings import recording_id
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.ledger_entries import Registration
from sensory_pipeline.lake.listing_progress import Sweep
from sensory_pipeline.processing.plans import Plans
from sensory_pipeline.storage.s3_access import AS_FOUND, S3Access
from sensory_pipeline.storage.sources import listed, prefix_of

log = logging.getLogger(__name__)

_MOST_SEEN = 200_000
"""Maximum number of recording_ids in memory (15 MB); then the position of the sweep is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepReport:
    """What a sweep has found so far.

    Attributes:
        registration: What the listing brought.
        missing: Recordings that were marked as missing, at the end of the sweep.
        emptied: Recordings of a source that is empty now; they are not marked as missing.
        complete: Whether the sweep has reached the end of the source.
        skipped: Number of files and folders that are not recordings, by kind.
    """

    registration: Registration
    missing: int
    emptied: int = 0
    complete: bool
    skipped: Mapping[str, int] = field(default_factory=dict)


def sweep(
    lake: Lake,
    plans: Plans,
    source: str,
    access: S3Access = AS_FOUND,
    *,
    seconds: float | None = None,
    confirm_missing: bool = False,
) -> SweepReport:
    """Register what is in a source.

    A page of the listing is registered before the position is moved past it, so a crash loses nothing. Errors of the
    listing are raised.

    Args:
        lake: The lake.
        plans: The plan of each recording; what was published under another plan becomes pending again.
        source: A folder or S3 prefix.
        access: Access to S3.
        seconds: Stop after this time, so that the next sweep continues there; None to list the whole source from its
            beginning.
        confirm_missing: Mark recordings as missing even if their source is empty now, or their folder contains a
            lake.json. Without it they stay, because a folder that is not mounted looks the same.
    """
    ends = None if seconds is None else time.monotonic() + seconds
    sweeps = lake.ledger.sweeps
    position: Sweep | None = sweeps.begin(prefix_of(source), restart=seconds is None)
    assert position is not None
    listing = listed(source, access, after=position.after)
    found = Registration(new=0, changed=0, stale=0, unchanged=0)
    incomplete, after = position.incomplete, position.after
    seen: list[str] = []
    complete = False
    try:
        for page in listing.pages:
            held = [item for item in page.objects if plans.hold(item.uri)]
            found += lake.ledger.register(
                held, fingerprint=lambda uri: plans.of(uri).fingerprint, shards=lake.shards, start_date=lake.start_date
            )
            seen += (recording_id(item.uri) for item in held)
            after = page.after
            if position is not None and len(seen) >= _MOST_SEEN:
                position = sweeps.advance(
                    position, after=after, seen=seen, incomplete=incomplete or bool(listing.unreadable)
                )
                seen = []
            if ends is not None and (position is None or time.monotonic() >= ends):
                break
        else:
            complete = True
    finally:
        if not confirm_missing:
            listing.unreadable.extend(
                f"{folder}, which had recordings and now has a lake.json"
                for folder in listing.lakes
                if sweeps.count_present(prefix_of(str(folder)))
            )
        incomplete |= bool(listing.unreadable)
        if position is not None and not complete and after is not None and after != position.after:
            sweeps.advance(position, after=after, seen=seen, incomplete=incomplete)
    if listing.unreadable:
        # what is in there is not missing, only unreadable
        log.warning("cannot list %s; the recordings there are left as they are", "; ".join(listing.unreadable))
    missing = emptied = 0
    if complete and position is not None:
        if not (confirm_missing or incomplete or seen or sweeps.has_seen(position)):
            emptied = sweeps.count_present(position.prefix)
        missing = sweeps.finish(position, seen=seen, incomplete=incomplete or emptied > 0)
    return SweepReport(
        registration=found,
        missing=missing,
        emptied=emptied,
        complete=complete,
        skipped=dict(listing.skipped),
    )


def sweep_all(
    lake: Lake, plans: Plans, sources: Iterable[str], access: S3Access, *, seconds: float
) -> Iterator[tuple[str, SweepReport | SensoryError]]:
    """Sweep each source; a source that fails does not delay the others.

    Args:
        lake: The lake.
        plans: The plan of each recording.
        sources: Folders and S3 prefixes.
        access: Access to S3.
        seconds: Time for all sources; what one does not use is left to those after it.

    Yields:
        Each source, with the report of its sweep or the error.
    """
    ends = time.monotonic() + seconds
    waiting = list(sources)
    for place, source in enumerate(waiting):
        share_s = max(0.0, ends - time.monotonic()) / (len(waiting) - place)
        try:
            yield source, sweep(lake, plans, source, access, seconds=share_s)
        except SensoryError as error:
            yield source, error
