"""The asset that publishes: all stage results of a partition become rows, in one commit."""

import time
from datetime import timedelta

import dagster as dg

from sensory_pipeline.assets import checks
from sensory_pipeline.assets.metadata import OWNERS, column_schemas, publication_metadata
from sensory_pipeline.assets.partitions import PARTITIONS
from sensory_pipeline.assets.picture import picture
from sensory_pipeline.assets.stages import PATIENCE, diarization, emotions, normalized_audio, transcripts
from sensory_pipeline.assets.timeline_picture import timeline_metadata
from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.lake.census import take
from sensory_pipeline.lake.invariants import violations
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.plans import PUBLICATION
from sensory_pipeline.processing.runs.runner import Runner
from sensory_pipeline.settings import Settings

_OVERDUE_HOURS = Settings().fresh_hours


@dg.asset(
    partitions_def=PARTITIONS,
    deps=[normalized_audio, transcripts, diarization, emotions],
    group_name="tables",
    kinds={"parquet", "duckdb"},
    owners=OWNERS,
    metadata=column_schemas(),
    code_version=str(PUBLICATION),
    check_specs=checks.SPECS,
    retry_policy=PATIENCE,
    freshness_policy=dg.FreshnessPolicy.time_window(timedelta(hours=_OVERDUE_HOURS)) if _OVERDUE_HOURS else None,
)
def merged_parquet(
    context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake], engines: dg.ResourceParam[Runner]
) -> dg.MaterializeResult:
    """The tables: recordings, segments, words, turns, speakers, embeddings, utterances, emotions, stages."""
    partition = Partition.parse(context.partition_key)
    report = engines.publish(lake, partition, context.run.run_id)
    census = take(lake, partition, pending=report.pending)
    found = checks.results(violations(lake, partition), census.counts)
    drawn = {"picture": picture(census)} if census.durations_s else {}
    timeline = engines.context.pool.timeline()
    if timeline is not None:  # else the stages were done by other processes than this one
        drawn |= timeline_metadata(timeline)
    metadata = publication_metadata(report, _age_s(context), Settings().price_per_hour)
    return dg.MaterializeResult(metadata={**drawn, **metadata}, check_results=list(found))


def _age_s(context: dg.AssetExecutionContext) -> float:
    """Seconds since the run has begun."""
    began = context.instance.get_run_stats(context.run.run_id).start_time
    return time.time() - began if began else 0.0
