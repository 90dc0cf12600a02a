"""The stages of partitions, one after the other or side by side, and their publication.

Every asset asks a runner for its stage, or for the publication; both hold the partition's lease, so two runs
on the same partition take turns and the second finds the work done.
"""

from __future__ import annotations

from collections.abc import Sequence

from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.runs.context import RunContext
from sensory_pipeline.processing.runs.partition import PartitionRun
from sensory_pipeline.processing.runs.publish import publish_partition
from sensory_pipeline.processing.runs.reports import PublicationReport, StageReport


class Runner:
    """stage_reports, publication: what came of each when it was done last."""

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.stage_reports: dict[Stage, StageReport] = {}
        self.publication: PublicationReport | None = None
        self._run: PartitionRun | None = None
        """What is under way, or was last."""

    def run_stage(
        self, lake: Lake, stage: Stage, partition: Partition, run_id: str, *, later: Sequence[Stage] = ()
    ) -> StageReport:
        """Bring the stage up to date for a run's share of what is pending in the partition.

        Results and errors go to the stage store; a recording whose earlier stage failed is left out.
        later: stages that will be asked for next in this run. Where the pool has processes for each, they
        begin now, and go on whenever one of them is asked for.
        """
        run = self._run
        if run is None or (run.partition, run.run_id) != (partition, run_id) or not run.has(stage):
            self.close()
            stages = (stage, *later) if self.context.pool.side_by_side else (stage,)
            run = self._run = PartitionRun(lake, self.context, partition, run_id, stages)
        report = self.stage_reports[stage] = run.report(stage)
        return report

    def publish(self, lake: Lake, partition: Partition, run_id: str) -> PublicationReport:
        """Commit every pending recording of the partition whose stages are decided, good or bad."""
        self.close()  # the lease may still be its
        report = self.publication = publish_partition(lake, self.context, partition, run_id)
        return report

    def finish(self, lake: Lake, partition: Partition, run_id: str, *, after: Stage) -> PublicationReport:
        """Publish what is good although a stage has failed: through all stages behind that one, and out."""
        stages = tuple(Stage)
        for stage in stages[stages.index(after) + 1 :]:
            self.run_stage(lake, stage, partition, run_id)
        return self.publish(lake, partition, run_id)

    def close(self) -> None:
        """Stop what is under way; what was done is kept."""
        if self._run is not None:
            self._run.close()
            self._run = None
