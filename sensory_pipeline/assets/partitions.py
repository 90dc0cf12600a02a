"""date x shard: the unit of one run."""

import dagster as dg

from sensory_pipeline.settings import Settings

_settings = Settings()

PARTITIONS = dg.MultiPartitionsDefinition(
    {
        # end_offset=1: today's recordings are processed today
        "date": dg.DailyPartitionsDefinition(start_date=_settings.start_date.isoformat(), end_offset=1),
        "shard": dg.StaticPartitionsDefinition([str(shard) for shard in range(_settings.shards)]),
    }
)
