"""The asset that publishes: all stage results of a partition become rows, in one commit."""

import time
from datetime import timedelta

import dagster as dg

from sensory_pipeline.assets import checks
from sensory_pipeline.assets.materialization_metadata import (
    column_schemas,
    last_run,
    partition_metadata,
    run_metadata,
)
from sensory_pipeline.assets.picture import picture
from sensory_pipeline.assets.stages import GROUP, PATIENCE
from sensory_pipeline.assets.timeline_picture import timeline_metadata
from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.lake.invariants import violations
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.partition_stats import partition_stats
from sensory_pipeline.lake.views import connect
from sensory_pipeline.processing.plans import PUBLICATION
from sensory_pipeline.processing.runs.runner import Runner
from sensory_pipeline.settings import Settings

ABOUT = "The tables: recordings, segments, words, turns, speakers, embeddings, utterances, emotions, stages."


def merged_parquet(settings: Settings, partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset with its checks."""
    overdue_h = settings.fresh_hours

    @dg.asset(
        name="merged_parquet",
        description=ABOUT,
        deps=[stage.value for stage in Stage],
        partitions_def=partitions,
        group_name=GROUP,
        kinds={"parquet", "duckdb"},
        owners=settings.owners,
        metadata=column_schemas(),
        code_version=str(PUBLICATION),
        check_specs=checks.specs(partitions),
        retry_policy=PATIENCE,
        freshness_policy=dg.FreshnessPolicy.time_window(timedelta(hours=overdue_h)) if overdue_h else None,
    )
    def published(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake], engines: dg.ResourceParam[Runner]
    ) -> dg.MaterializeResult:
        partition = Partition.parse(context.partition_key)
        report = engines.publish(lake, partition, context.run.run_id)
        with connect(lake, [partition]) as db:
            stats = partition_stats(db, lake, partition, pending=report.pending)
            found = checks.results(violations(db), stats.counts)
        seen = not context.instance.is_ephemeral  # else nobody could look at pictures
        drawn = {"picture": picture(stats)} if seen and stats.durations_s else {}
        did = run_metadata(report, context.run.run_id, _age_s(context), settings.price_per_hour)
        timeline = engines.context.pool.timeline()
        if timeline is not None:  # else the stages were done by other processes than this one
            did |= timeline_metadata(timeline, seen=seen)
        if not report.published:
            did = last_run(context) or did
        metadata = partition_metadata(stats, report.rows)
        return dg.MaterializeResult(metadata={**drawn, **metadata, **did}, check_results=list(found))

    return published


def _age_s(context: dg.AssetExecutionContext) -> float:
    """Return the seconds since the run began."""
    began = context.instance.get_run_stats(context.run.run_id).start_time
    return time.time() - began if began else 0.0
