"""What a queue tells of, into the ledger, before the sweep comes by."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from dataclasses import dataclass

from sensory_pipeline.core.recordings import SourceObject
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.plans import Plans
from sensory_pipeline.storage import events, s3
from sensory_pipeline.storage.s3_access import AS_FOUND, S3Access
from sensory_pipeline.storage.sources import prefix_of

log = logging.getLogger(__name__)

MOST_RECEIPTS = 5
"""After so many a message is not looked at again: the queue's dead-letter queue takes it, or its age."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumedEvents:
    """objects: objects; left: messages whose objects could not be looked at, and which come again."""

    objects: int
    left: int


def consume_events(
    lake: Lake, plans: Plans, queue: str, sources: Collection[str], access: S3Access = AS_FOUND, *, seconds: float
) -> ConsumedEvents:
    """Look at every object that a message tells of.

    A message is deleted when what it tells of stands in the ledger, so that a death in between only
    makes it come again; one that fails keeps no other. sources: others are not looked at; access: to S3; seconds: after
    which to leave off. Raises ConfigurationError when the queue cannot be read.
    """
    prefixes = [prefix_of(source) for source in sources]
    ends = time.monotonic() + seconds
    objects = left = 0
    while time.monotonic() < ends and (messages := events.receive(queue)):
        done = []
        for message in messages:
            if time.monotonic() >= ends:  # the others come again
                break
            wanted = [uri for uri in dict.fromkeys(message.uris) if _wanted(uri, prefixes) and plans.hold(uri)]
            if message.receipts > MOST_RECEIPTS:
                left += 1
                continue
            try:
                _look(lake, plans, wanted, access)
            except Exception as error:  # noqa: BLE001 - anybody may have written it
                log.warning("what a message tells of cannot be looked at: %s", error)
                left += 1
            else:
                objects += len(wanted)
                done.append(message)
        if done:
            events.delete(queue, done)
    return ConsumedEvents(objects=objects, left=left)


def _look(lake: Lake, plans: Plans, uris: Collection[str], access: S3Access) -> None:
    there: list[SourceObject] = []
    missing: list[str] = []
    for uri in uris:
        if (found := s3.stat_object(uri, access)) is not None:
            there.append(found)
        else:
            missing.append(uri)
    lake.ledger.register(
        there, fingerprint=lambda uri: plans.of(uri).fingerprint, shards=lake.shards, start_date=lake.start_date
    )
    lake.ledger.mark_missing(missing)


def _wanted(uri: str, prefixes: Collection[str]) -> bool:
    """As a listing would have it."""
    return any(uri.startswith(prefix) and s3.listable(uri, prefix) for prefix in prefixes)
