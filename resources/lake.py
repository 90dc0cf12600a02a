"""The resource that opens the lake."""

import dagster as dg

from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.settings import Settings


def lake(settings: Settings) -> dg.ResourceDefinition:
    """The Lake of the settings. Making it raises LakeMismatch when its shards or its start are not the settings'."""

    @dg.resource(description="The folder with the tables and all state; the first run creates it.")
    def opened(_: dg.InitResourceContext) -> Lake:
        return Lake.create(
            settings.lake, shards=settings.shards, start_date=settings.start_date, ledger=settings.ledger
        )

    return opened
