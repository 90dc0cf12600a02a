"""What a queue tells of, into the ledger, before the sweep comes by."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from sensory_pipeline.core.recordings import SourceObject
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.plans import Plans
from sensory_pipeline.storage import events, s3
from sensory_pipeline.storage.sources import prefix_of


def heed(lake: Lake, plans: Plans, queue: str, sources: Collection[str], *, seconds: float) -> int:
    """Look at every object that a message tells of; returns how many that were.

    A message is deleted when what it tells of stands in the ledger, so that a death in between only
    makes it come again. sources: others are not looked at; seconds: after which to leave off. Raises
    ConfigurationError when the queue cannot be read, SourceUnavailable when S3 cannot.
    """
    prefixes = [prefix_of(source) for source in sources]
    ends = time.monotonic() + seconds
    looked_at = 0
    while time.monotonic() < ends and (messages := events.receive(queue)):
        uris = dict.fromkeys(uri for message in messages for uri in message.uris)
        wanted = [uri for uri in uris if _wanted(uri, prefixes) and plans.hold(uri)]
        _look(lake, plans, wanted)
        events.delete(queue, messages)
        looked_at += len(wanted)
    return looked_at


def _look(lake: Lake, plans: Plans, uris: Sequence[str]) -> None:
    there: list[SourceObject] = []
    gone: list[str] = []
    for uri in uris:
        if (found := s3.look(uri)) is not None:
            there.append(found)
        else:
            gone.append(uri)
    lake.ledger.register(
        there, fingerprint=lambda uri: plans.of(uri).fingerprint, shards=lake.shards, start_date=lake.start_date
    )
    lake.ledger.gone(gone)


def _wanted(uri: str, prefixes: Collection[str]) -> bool:
    """As a listing would have it."""
    return any(uri.startswith(prefix) and s3.listable(uri, prefix) for prefix in prefixes)
