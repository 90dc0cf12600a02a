"""The only place where the parts are put together."""

from typing import Any

import dagster as dg

from resources.engines import engines
from resources.lake import lake
from sensory_pipeline.assets.merged_parquet import merged_parquet
from sensory_pipeline.assets.stages import diarization, emotions, normalized_audio, transcripts
from sensory_pipeline.automation.arrivals import arrivals, nightly
from sensory_pipeline.automation.executors import executor
from sensory_pipeline.automation.jobs import process_recordings
from sensory_pipeline.automation.notifications import doubts, failures
from sensory_pipeline.automation.resumption import resumption
from sensory_pipeline.automation.retention import retention
from sensory_pipeline.settings import Settings


def build(**resources: Any) -> dg.Definitions:
    """Everything Dagster has to know. resources: replace those that the settings describe."""
    return dg.Definitions(
        assets=[normalized_audio, transcripts, diarization, emotions, merged_parquet],
        jobs=[process_recordings],
        schedules=[nightly],
        sensors=[arrivals, resumption, retention, failures, doubts],
        resources={"lake": lake, "engines": engines, **resources},
        executor=executor(Settings()),
    )


defs = build()
