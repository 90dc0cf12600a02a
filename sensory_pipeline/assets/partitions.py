"""The partitions, date x shard: a run processes one of them."""

import dagster as dg

from sensory_pipeline.settings import Settings


def partitions(settings: Settings) -> dg.MultiPartitionsDefinition:
    """Return the partitions of the lake that the settings describe."""
    return dg.MultiPartitionsDefinition(
        {
            # end_offset=1: today's recordings are processed today
            "date": dg.DailyPartitionsDefinition(start_date=settings.start_date.isoformat(), end_offset=1),
            "shard": dg.StaticPartitionsDefinition([str(shard) for shard in range(settings.shards)]),
        }
    )
