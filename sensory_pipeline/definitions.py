"""The Dagster project: assets, job, schedules, sensors and resources, from one Settings value."""

import logging
from collections.abc import Mapping
from typing import Any

import dagster as dg

from resources.engines import engines
from resources.lake import lake
from sensory_pipeline.assets.merged_parquet import merged_parquet
from sensory_pipeline.assets.partitions import partitions
from sensory_pipeline.assets.sources import sources
from sensory_pipeline.assets.stages import stage_asset
from sensory_pipeline.automation.executors import executor
from sensory_pipeline.automation.jobs import process_recordings
from sensory_pipeline.automation.notifications import doubts, failures
from sensory_pipeline.automation.resumption import resumption
from sensory_pipeline.automation.retention import retention
from sensory_pipeline.automation.triggers import arrivals, nightly
from sensory_pipeline.core.log_lines import configure
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.processing.effective_settings import in_force
from sensory_pipeline.settings import Settings


def build(settings: Settings, **resources: Any) -> dg.Definitions:
    """Return everything that Dagster needs to know.

    Args:
        settings: The settings.
        resources: Replace resources that the settings describe.
    """
    all_partitions = partitions(settings)
    return dg.Definitions(
        assets=[
            sources(settings),
            *(stage_asset(stage, settings, all_partitions) for stage in Stage),
            merged_parquet(settings, all_partitions),
        ],
        jobs=[process_recordings],
        schedules=[nightly(settings)],
        sensors=[arrivals(settings), resumption, retention(settings), failures(settings), doubts(settings)],
        resources={"lake": lake(settings), "engines": engines(settings), **_s3(settings), **resources},
        executor=executor(settings),
    )


def _s3(settings: Settings) -> Mapping[str, Any]:
    if not settings.in_s3:
        return {}
    # imported late: boto3 and dagster-aws take half a second, and folders do not need them
    from resources.s3 import s3

    return {"s3": s3(settings)}


@dg.definitions
def defs() -> dg.Definitions:
    """Return what Dagster loads from this module, with the settings of the environment, `.env` and the lake."""
    settings = in_force(Settings())
    configure(settings.log_level)
    logging.getLogger("dagster").propagate = False  # Dagster shows its own lines
    return build(settings)
