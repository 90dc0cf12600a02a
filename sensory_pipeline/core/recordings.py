"""One source audio and what identifies it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from sensory_pipeline.core.escaping import visible


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceObject:
    """One object of a listing.

    Attributes:
        uri: `file://` or `s3://`.
        version: Changes whenever the content may have changed.
        size_bytes: Its size.
        modified_at: Its last modification, with time zone.
    """

    uri: str
    version: str
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of a listing.

    Attributes:
        objects: The objects in it.
        after: The URI after which the next page begins; it need not be a recording's.
    """

    objects: tuple[SourceObject, ...]
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """What one run processes: recordings of one UTC day and one shard.

    Attributes:
        date: The UTC day on which the recording was last modified, when it was first seen.
        shard: From 0.
    """

    date: date
    shard: int

    @property
    def key(self) -> str:
        """Dagster's multi-partition key, dimensions in alphabetical order.

        >>> Partition(date=date(2026, 11, 22), shard=3).key
        '2026-11-22|3'
        """
        return f"{self.date.isoformat()}|{self.shard}"

    @property
    def folder(self) -> str:
        """Its folder wherever the lake keeps files by partition, named as Hive names partitions.

        >>> Partition(date=date(2026, 11, 22), shard=3).folder
        'date=2026-11-22/shard=3'
        """
        return f"date={self.date.isoformat()}/shard={self.shard}"

    @classmethod
    def parse(cls, key: str) -> Partition:
        """The partition with a key.

        Raises:
            ValueError: It is not a key.
        """
        day, _, shard = key.partition("|")
        return cls(date=date.fromisoformat(day), shard=int(shard))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A source object with its fixed place in the lake."""

    recording_id: str
    uri: str
    version: str
    size_bytes: int
    partition: Partition


def recording_id(uri: str) -> str:
    """16 hexadecimal digits that identify the URI in every table.

    >>> recording_id("s3://calls/a.wav")
    '86b2bd2d8bbc15ff'
    """
    return hashlib.sha256(uri.encode()).hexdigest()[:16]


def shard_of(uri: str, shards: int) -> int:
    """The shard of a URI, which never changes: 0 <= shard < shards.

    >>> shard_of("s3://calls/a.wav", 8) in range(8)
    True
    """
    return int(hashlib.sha1(uri.encode(), usedforsecurity=False).hexdigest()[:8], 16) % shards


def first_seen_date(modified_at: datetime, *, start: date, today: date) -> date:
    """The UTC day of the modification time, clipped to the range from `start` to `today`.

    A clock that runs ahead must not put a recording into a partition that does not exist yet.

    >>> first_seen_date(datetime(2020, 5, 1, tzinfo=UTC), start=date(2024, 1, 1), today=date(2024, 2, 1))
    datetime.date(2024, 1, 1)
    """
    return min(max(modified_at.astimezone(UTC).date(), start), today)


def printable(path: Path) -> str:
    r"""The path as text that can be stored and shown, whatever bytes its name is made of.

    >>> printable(Path("caf\udce9.wav"))
    'caf\\xe9.wav'
    """
    return visible(os.fsencode(path).decode("utf-8", "backslashreplace"))
