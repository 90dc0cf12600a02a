"""The four assets that process sound and words; each brings its stage up to date for the partition."""

from typing import Any

import dagster as dg
from pydantic import Field

from sensory_pipeline.assets.materialization_metadata import (
    last_run,
    stage_columns,
    stage_metadata,
    stage_run_metadata,
)
from sensory_pipeline.core.errors import SensoryError
from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.core.stages import READS, Stage
from sensory_pipeline.dagster_internals import execute_in_process_executor
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.plans import DECODING
from sensory_pipeline.processing.runs.reprocess import reprocess_stage
from sensory_pipeline.processing.runs.runner import Runner
from sensory_pipeline.processing.runs.totals import stage_totals
from sensory_pipeline.settings import Settings

GPU = {
    "sensory/res": "gpu",
    "dagster-celery/queue": "gpu",
    "dagster-k8s/config": {"container_config": {"resources": {"limits": {"nvidia.com/gpu": "1"}}}},
}
"""What a step that computes on a device requests from each executor (automation/executors.py)."""

PATIENCE = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""For steps that only read and write: a network drive or a database may be unavailable for seconds."""


GROUP = "speech"
"""Of all assets: with a single group, the lineage is drawn open."""
SOURCES = "sources"
"""Name of the asset in front of all others."""


class StageConfig(dg.Config):
    """What a run can be given in its launchpad."""

    reprocess: bool = Field(
        False,
        description="Process the whole partition again, in this asset and those that depend on it, although nothing "
        "has changed.",
    )
    recordings: list[str] = Field(
        [], description="Process only these recordings again: their uris, as in the table recordings."
    )


ABOUT = {
    Stage.NORMALIZED_AUDIO: "Every recording decoded, checked for damage, and brought to 16 kHz PCM.",
    Stage.TRANSCRIPTS: "What was said: words with times and probabilities.",
    Stage.DIARIZATION: "Who spoke when: turns of speakers.",
    Stage.EMOTIONS: "How it was said: an emotion for each utterance, and for each word, sentence, turn or file.",
}


def stage_asset(stage: Stage, settings: Settings, partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset of a stage.

    Args:
        stage: The stage.
        settings: The settings.
        partitions: The lake's partitions.
    """
    decodes = stage is Stage.NORMALIZED_AUDIO

    @dg.asset(
        name=stage.value,
        description=ABOUT[stage],
        deps=[SOURCES] if decodes else [read.value for read in READS[stage]],
        partitions_def=partitions,
        group_name=GROUP,
        op_tags=None if decodes else GPU,
        kinds={"python"},
        owners=settings.owners,
        metadata=stage_columns(),
        code_version=str(DECODING.algorithm) if decodes else None,
        retry_policy=PATIENCE if decodes else None,
    )
    def materialized(
        context: dg.AssetExecutionContext,
        config: StageConfig,
        lake: dg.ResourceParam[Lake],
        engines: dg.ResourceParam[Runner],
    ) -> dg.MaterializeResult:
        partition = Partition.parse(context.partition_key)
        if config.reprocess or config.recordings:
            reprocess_stage(lake, stage, partition, config.recordings)
        report = engines.run_stage(lake, stage, partition, context.run.run_id, later=_later(context, stage))
        did = stage_run_metadata(report, context.run.run_id, settings.price_per_hour)
        if report.idle:
            did = last_run(context) or did
        metadata = {**stage_metadata(stage_totals(lake, stage, partition)), **did}
        if report.engine_at_fault:
            try:
                engines.finish(lake, partition, context.run.run_id, after=stage)
            except SensoryError as error:
                context.log.error(f"the finished recordings could not be published: {error}")
            raise dg.Failure(
                f"{stage}: the engine failed on {report.engine_faults} of {report.computed} recordings, so the "
                f"engine is probably the cause; they stay pending, the others are published. "
                f"The first of them: {report.fault}",
                metadata=metadata,
                allow_retries=False,
            )
        return dg.MaterializeResult(metadata=metadata)

    return materialized


def _later(context: dg.AssetExecutionContext, stage: Stage) -> tuple[Stage, ...]:
    """Return the stages that this process will be asked for after this one, which can therefore start now."""
    if context.job_def.executor_def not in (dg.in_process_executor, execute_in_process_executor):
        return ()
    run = context.run
    configured: Any = run.run_config.get("ops", {})
    if any(any(op.get("config", {}).values()) for op in configured.values()):
        return ()  # a step marks what to process again when it begins
    # a run that is repeated from its failed step executes fewer steps
    chosen = {key.to_user_string() for key in run.asset_selection or ()} or set(Stage)
    chosen &= set(run.step_keys_to_execute or chosen)
    stages = tuple(Stage)
    return tuple(later for later in stages[stages.index(stage) + 1 :] if later in chosen)
