"""The resource that opens the lake."""

import dagster as dg

from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.settings import Settings


@dg.resource(description="The folder that holds the tables and all state; made with the first run.")
def lake(_: dg.InitResourceContext) -> Lake:
    """The Lake of the settings. Raises LakeMismatch when its shards or its start are not the settings'."""
    settings = Settings()
    return Lake.create(settings.lake, shards=settings.shards, start_date=settings.start_date, ledger=settings.ledger)
