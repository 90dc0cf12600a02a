"""What is in the sources, into the ledger: a sweep over each, whole or as far as the time goes."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sensory_pipeline.core.errors import SensoryError
from sensory_pipeline.core.recordings import recording_id
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.ledger import Registration
from sensory_pipeline.lake.sweeps import Sweep
from sensory_pipeline.processing.plans import Plans
from sensory_pipeline.storage.s3_access import AS_FOUND, S3Access
from sensory_pipeline.storage.sources import listed, prefix_of

log = logging.getLogger(__name__)

_MOST_SEEN = 200_000
"""Recordings whose ids are kept in memory, 15 MB of it; then the position is written down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepReport:
    """What a sweep found so far. missing: recordings that are gone, known at its end; emptied: those that would be,
    of a source in which there are none any more; complete: whether its end was reached; skipped: how many files
    and folders of which kind are no recordings."""

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
    """Register what is in a source. plans: what was published under another is pending again; access: to S3.

    seconds: after which to leave off; the next such sweep goes on there. None: from its beginning
    to its end. gone: whether recordings may be gone of which no more is there than an empty source, or a
    folder that has become a lake: so look a folder that is not mounted, and one with a stray lake.json.
    A page of the listing is registered before the position is moved past it, so that no death in between
    loses anything. Raises what the listing raises.
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
                f"{folder}, where recordings were and a lake.json is now"
                for folder in listing.lakes
                if sweeps.count_present(prefix_of(str(folder)))
            )
        incomplete |= bool(listing.unreadable)
        if position is not None and not complete and after is not None and after != position.after:
            sweeps.advance(position, after=after, seen=seen, incomplete=incomplete)
    if listing.unreadable:
        # what is in there is not gone, only out of sight
        log.warning("cannot list %s; what is there is left as it is", "; ".join(listing.unreadable))
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
    """A sweep over each source, or what it failed with: one that is down must not keep the others waiting.

    seconds: for all of them; what one leaves is for those after it.
    """
    ends = time.monotonic() + seconds
    waiting = list(sources)
    for place, source in enumerate(waiting):
        share_s = max(0.0, ends - time.monotonic()) / (len(waiting) - place)
        try:
            yield source, sweep(lake, plans, source, access, seconds=share_s)
        except SensoryError as error:
            yield source, error
