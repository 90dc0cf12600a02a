"""The asset that stands for the sources of recordings. Dagster shows it and does not execute it."""

import dagster as dg

from sensory_pipeline.assets.stages import GROUP, SOURCES
from sensory_pipeline.settings import Settings


def sources(settings: Settings) -> dg.AssetSpec:
    """Return one asset for all sources of the lake."""
    watched = [source.uri for source in settings.sources]
    return dg.AssetSpec(
        SOURCES,
        description="The recordings, in folders and S3: "
        + (f"SENSORY_SOURCES watches {', '.join(watched)}." if watched else "whatever `sensory ingest` is given."),
        group_name=GROUP,
        kinds={"s3"} if settings.in_s3 else set(),
        owners=settings.owners,
        metadata={"watched": watched},
    )
