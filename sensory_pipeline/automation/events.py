"""Brings the ledger up to date with the events of a queue, before the next sweep."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from dataclasses import dataclass

from sensory_pipeline.core.errors import SensoryError, brief
from sensory_pipeline.core.recordings import SourceObject
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.plans import Plans
from sensory_pipeline.storage import events, s3
from sensory_pipeline.storage.s3_access import AS_FOUND, S3Access
from sensory_pipeline.storage.sources import prefix_of

log = logging.getLogger(__name__)

MOST_RECEIPTS = 5
"""A message that was received more often is ignored, until the queue moves it to its dead-letter queue or drops it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumedEvents:
    """What was read from a queue.

    Attributes:
        objects: Number of objects that were looked up.
        left: Number of messages whose objects could not be read; they come again.
    """

    objects: int
    left: int


def consume_events(
    lake: Lake, plans: Plans, queue: str, sources: Collection[str], access: S3Access = AS_FOUND, *, seconds: float
) -> ConsumedEvents:
    """Look up every object that the messages of a queue name, and register its present state.

    A message is deleted after its objects are in the ledger, so a crash only makes it come again. A message that fails
    does not delay the others.

    Args:
        lake: The lake.
        plans: The plan of each recording.
        queue: URL of the queue.
        sources: Objects that are in none of these folders and prefixes are ignored.
        access: Access to S3.
        seconds: Stop after this time.

    Raises:
        ConfigurationError: The queue cannot be read.
    """
    prefixes = [prefix_of(source) for source in sources]
    ends = time.monotonic() + seconds
    objects = left = 0
    while time.monotonic() < ends and (messages := events.receive(queue)):
        done = []
        for message in messages:
            if time.monotonic() >= ends:  # the others will come again
                break
            wanted = [uri for uri in dict.fromkeys(message.uris) if _wanted(uri, prefixes) and plans.hold(uri)]
            if message.receipts > MOST_RECEIPTS:
                left += 1
                continue
            try:
                _look(lake, plans, wanted, access)
            except Exception as error:  # the message may come from anybody
                unexpected = not isinstance(error, SensoryError)
                log.warning("the objects of a message cannot be read: %s", brief(error), exc_info=unexpected)
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
    """Return whether a listing of a source would contain the object."""
    return any(uri.startswith(prefix) and s3.listable(uri, prefix) for prefix in prefixes)
