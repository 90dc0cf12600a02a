"""The partitions, date x shard: a run processes one of them."""

from datetime import date

import dagster as dg

from sensory_pipeline.core.errors import SensoryError
from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.settings import Settings


def partitions(settings: Settings) -> dg.MultiPartitionsDefinition:
    """Return the partitions of the lake that the settings describe."""
    return dg.MultiPartitionsDefinition(
        {
            # end_offset=1: today's recordings are processed today
            "date": dg.DailyPartitionsDefinition(start_date=first_date(settings).isoformat(), end_offset=1),
            "shard": dg.StaticPartitionsDefinition([str(shard) for shard in range(settings.shards)]),
        }
    )


def partition_key(partition: Partition) -> dg.MultiPartitionKey:
    """Return Dagster's key of a partition."""
    return dg.MultiPartitionKey({"date": partition.date.isoformat(), "shard": str(partition.shard)})


def first_date(settings: Settings) -> date:
    """Return the first date that Dagster shows.

    It is SENSORY_START_DATE if that is set, else the date of the lake's first recording, so that days before it do not
    count as missing. While the lake has no recording, it is the default of SENSORY_START_DATE.
    """
    if settings.start_date != Settings.model_fields["start_date"].default:
        return settings.start_date
    try:
        first = Lake.open(settings.lake, ledger=settings.ledger).first_date()
    except SensoryError:  # there is no lake yet; if it is damaged, the run that works on it reports that
        first = None
    return first or settings.start_date
