"""What a run of Dagster tells: its partition, and whether it has ended."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def partition_of(tags: Mapping[str, str]) -> str:
    """Return the key of a run's partition, or the first key of a range of partitions; empty if it has none.

    >>> partition_of({"dagster/asset_partition_range_start": "2026-11-13|5"})
    '2026-11-13|5'
    """
    return tags.get("dagster/partition") or tags.get("dagster/asset_partition_range_start") or ""
