"""The asset that publishes: all stage results of a partition become rows, in one commit."""

import dagster as dg

from sensory_pipeline.assets.metadata import column_schemas, publication_metadata
from sensory_pipeline.assets.partitions import PARTITIONS
from sensory_pipeline.assets.stages import diarization, emotions, normalized_audio, transcripts
from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.lake.invariants import violations
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.processor import Processor
from sensory_pipeline.processing.publishing import publish_partition


@dg.asset(
    partitions_def=PARTITIONS,
    deps=[normalized_audio, transcripts, diarization, emotions],
    group_name="tables",
    kinds={"parquet", "duckdb"},
    metadata=column_schemas(),
    check_specs=[
        dg.AssetCheckSpec(
            "invariants",
            asset="merged_parquet",
            description="The tables agree with each other: nothing twice, nothing orphaned, times in order.",
        )
    ],
)
def merged_parquet(
    context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake], engines: dg.ResourceParam[Processor]
) -> dg.MaterializeResult:
    """The tables: recordings, segments, words, turns, speakers, embeddings, utterances, emotions, stages."""
    partition = Partition.parse(context.partition_key)
    report = publish_partition(lake, engines, partition, context.run.run_id)
    broken = violations(lake, partition)
    check = dg.AssetCheckResult(
        check_name="invariants", passed=not broken, metadata={"violations": dg.MetadataValue.json(broken)}
    )
    return dg.MaterializeResult(metadata=publication_metadata(report), check_results=[check])
