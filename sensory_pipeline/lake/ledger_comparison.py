"""Compares listed objects with the ledger, to find which are new or changed; writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from sensory_pipeline.core.recordings import SourceObject, recording_id
from sensory_pipeline.lake.database import Database, Transaction


class Verdict(StrEnum):
    """How an object of a listing compares with the ledger; a forgotten one is not taken in again."""

    NEW = "new"
    CHANGED = "changed"
    STALE = "stale"
    UNCHANGED = "unchanged"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A recording in the ledger.

    Attributes:
        version: Its version.
        status: As in the ledger.
        fingerprint: Fingerprint of the published result; empty if there is none.
        present: Whether it was in its source at the last listing.
    """

    version: str
    status: str
    fingerprint: str
    present: bool


def known(db: Transaction, identities: Collection[str]) -> dict[str, Known]:
    """Return those of the recordings that the ledger has, by recording_id."""
    places = ", ".join("?" * len(identities))
    rows = db.execute(
        "SELECT recording_id, version, status, coalesce(fingerprint, ''), present FROM recordings"  # noqa: S608
        f" WHERE recording_id IN ({places})",
        list(identities),
    ).fetchall()
    return {
        identity: Known(version=version, status=status, fingerprint=published, present=bool(present))
        for identity, version, status, published, present in rows
    }


def verdict(item: SourceObject, found: Known | None, fingerprint: Callable[[str], str]) -> Verdict:
    """Return how an object compares with the ledger.

    Args:
        item: The object.
        found: The recording in the ledger, if there is one.
        fingerprint: Returns the fingerprint of the wanted result for a uri.
    """
    if found is None:
        return Verdict.NEW
    if found.status == "forgotten":
        return Verdict.FORGOTTEN
    if found.version != item.version:
        return Verdict.CHANGED
    return Verdict.STALE if _stale(item.uri, found.status, found.fingerprint, fingerprint) else Verdict.UNCHANGED


def verdicts(
    database: Database | None, items: Iterable[SourceObject], fingerprint: Callable[[str], str]
) -> dict[str, tuple[Verdict, Known | None]]:
    """Return how a page of a listing compares with the ledger, by recording_id.

    Args:
        database: The ledger's database; None if there is no lake yet.
        items: The objects of the page.
        fingerprint: Returns the fingerprint of the wanted result for a uri.
    """
    page = {recording_id(item.uri): item for item in items}
    if database is None or not database.exists():
        return dict.fromkeys(page, (Verdict.NEW, None))
    with database.reading() as db:
        found = known(db, page)
    return {
        identity: (verdict(item, found.get(identity), fingerprint), found.get(identity))
        for identity, item in page.items()
    }


def present(database: Database | None, prefix: str) -> set[str]:
    """Return the recording_ids of present recordings whose uris begin with a prefix."""
    if database is None or not database.exists():
        return set()
    with database.reading() as db:
        rows = db.execute(
            "SELECT recording_id FROM recordings WHERE present = 1 AND substr(uri, 1, length(?)) = ?", (prefix, prefix)
        ).fetchall()
    return {identity for (identity,) in rows}


def stale(database: Database, fingerprint: Callable[[str], str]) -> list[str]:
    """Return the recording_ids of results that were made under other settings than those wanted now."""
    if not database.exists():
        return []
    with database.reading() as db:
        rows = db.execute(
            "SELECT recording_id, uri, status, coalesce(fingerprint, '') FROM recordings"
            " WHERE present = 1 AND status <> 'forgotten'"
        ).fetchall()
    return [identity for identity, uri, status, published in rows if _stale(uri, status, published, fingerprint)]


def _stale(uri: str, status: str, published: str, wanted: Callable[[str], str]) -> bool:
    """Whether a recording has a result that was made under other settings; a pending one gets a new one anyway."""
    return status != "pending" and published != wanted(uri)
