"""The resource that opens the lake."""

from datetime import date
from pathlib import Path

import dagster as dg
from pydantic import Field

from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.effective_settings import unattended
from sensory_pipeline.settings import Settings


class LakeResource(dg.ConfigurableResource[Lake]):
    """The folder that holds the tables and all state; created by the first run."""

    settings: dg.ResourceDependency[Settings]  # has the URL of the ledger, which the UI should not show
    folder: str = Field(description="Folder of the lake.")
    shards: int = Field(description="Number of shards; must be that of the lake if it exists.")
    start_date: str = Field(description="First date of the lake.")

    def create_resource(self, context: dg.InitResourceContext) -> Lake:
        """Open the lake.

        Raises:
            LakeMismatch: It has other shards or another start date than the fields say, or the settings would have its
                recordings processed again.
        """
        found = Lake.create(
            Path(self.folder),
            shards=self.shards,
            start_date=date.fromisoformat(self.start_date),
            ledger=self.settings.ledger,
        )
        unattended(found, self.settings)
        return found


def lake(settings: Settings) -> LakeResource:
    """Return the resource for the lake of the settings."""
    return LakeResource(
        settings=settings,
        folder=str(settings.lake),
        shards=settings.shards,
        start_date=settings.start_date.isoformat(),
    )
