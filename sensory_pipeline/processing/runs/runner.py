"""One stage over one partition: what is pending and not done yet goes through the engines.

Every asset calls `run_stage` with its stage, or `publish_partition`; both hold the partition's
lease, so two runs on the same partition take turns and the second finds the work done.
"""

from __future__ import annotations

from collections.abc import Sequence

from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.runs.context import Processor
from sensory_pipeline.processing.runs.partition import PartitionRun, StageReport


def run_stage(
    lake: Lake,
    processor: Processor,
    stage: Stage,
    partition: Partition,
    run_id: str,
    *,
    later: Sequence[Stage] = (),
) -> StageReport:
    """Bring the stage up to date for a run's share of what is pending in the partition.

    Results and errors go to the stage store; a recording whose earlier stage failed is left out.
    later: stages that will be asked for next in this run. Where the processor's pool has processes for
    each, they begin now, and go on whenever one of them is asked for.
    """
    run = processor.run
    if run is None or (run.partition, run.run_id) != (partition, run_id) or not run.has(stage):
        processor.close()
        stages = (stage, *later) if processor.pool.side_by_side else (stage,)
        run = processor.run = PartitionRun(lake, processor, partition, run_id, stages)
    return run.report(stage)
