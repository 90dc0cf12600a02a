"""A page of a listing against the ledger: new, changed and stale recordings become pending."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime

from sensory_pipeline.core.recordings import SourceObject, first_seen_date, shard_of
from sensory_pipeline.lake.database import Database, Values
from sensory_pipeline.lake.ledger_comparison import Verdict, known, verdict
from sensory_pipeline.lake.listing_progress import LATEST


def register_page(
    database: Database,
    page: Mapping[str, SourceObject],
    counts: Counter[Verdict],
    fingerprint: Callable[[str], str],
    shards: int,
    start_date: date,
) -> None:
    """Write a page of a listing into the ledger.

    Args:
        database: Of the ledger.
        page: The objects by recording_id.
        counts: Of verdicts; those of the page are added.
        fingerprint: Returns the fingerprint of the wanted result for a uri.
        shards: Number of shards of the lake.
        start_date: First date of the lake.
    """
    now = datetime.now(UTC)
    with database.reading() as db:
        found = known(db, page)
    new: list[Values] = []
    renewed: list[Values] = []
    returned: list[Values] = []
    for identity, item in page.items():
        before = found.get(identity)
        how = verdict(item, before, fingerprint)
        counts[how] += 1
        if before is None:
            day = first_seen_date(item.modified_at, start=start_date, today=now.date()).isoformat()
            shard = shard_of(item.uri, shards)
            stamps = (now.isoformat(), now.isoformat())
            new.append((identity, item.uri, item.version, item.size_bytes, day, shard, *stamps))
            continue
        if how is Verdict.UNCHANGED and not before.present:
            returned.append((identity, before.version))
        if how in (Verdict.UNCHANGED, Verdict.FORGOTTEN):
            continue
        # of a changed recording, what is published is of another version
        published_now = (before.fingerprint or None) if how is Verdict.STALE else None
        change = (item.version, item.size_bytes, published_now, now.isoformat())
        renewed.append((*change, identity, before.version, before.status, before.fingerprint))
    if not (new or renewed or returned):
        return
    with database.writing() as db:
        db.executemany(
            "INSERT INTO recordings (recording_id, uri, version, size_bytes, date, shard, status, first_seen_at,"  # noqa: S608
            f" updated_at, seen_in) VALUES (?, ?, ?, ?, ?, ?, 'pending', ?, ?, {LATEST}) ON CONFLICT DO NOTHING",
            new,
        )
        db.executemany(
            "UPDATE recordings SET version = ?, size_bytes = ?, status = 'pending', fingerprint = ?, attempts = 0,"  # noqa: S608
            f" crashes = 0, note = NULL, present = 1, seen_in = {LATEST}, updated_at = ?"
            " WHERE recording_id = ? AND version = ? AND status = ? AND coalesce(fingerprint, '') = ?",
            renewed,
        )
        db.executemany(
            f"UPDATE recordings SET present = 1, seen_in = {LATEST} WHERE recording_id = ? AND version = ?",  # noqa: S608
            returned,
        )
