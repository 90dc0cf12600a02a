"""The stages of partitions, one after the other or side by side, and their publication.

Every asset asks a runner for its stage or for the publication. Both hold the partition's lease, so two runs of the same
partition take turns, and the second finds the work done.
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
    """Runs stages and publishes partitions.

    Attributes:
        context: Engines, plans and limits.
        stage_reports: The last report of each stage.
        publication: The last report of a publication.
    """

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.stage_reports: dict[Stage, StageReport] = {}
        self.publication: PublicationReport | None = None
        self._run: PartitionRun | None = None
        """In progress, or the last one."""

    def run_stage(
        self, lake: Lake, stage: Stage, partition: Partition, run_id: str, *, later: Sequence[Stage] = ()
    ) -> StageReport:
        """Run the stage on the pending recordings of the partition, as many as one run takes.

        Results and errors go to the stage store; a recording whose earlier stage failed is left out.

        Args:
            lake: The lake.
            stage: The stage.
            partition: The partition.
            run_id: Dagster's run.
            later: Stages that this run will be asked for next. If the pool has processes for each stage, they start now
                and continue during every call.
        """
        run = self._run
        if run is None or (run.partition, run.run_id) != (partition, run_id) or not run.has(stage):
            self.close()
            stages = (stage, *later) if self.context.pool.side_by_side else (stage,)
            run = self._run = PartitionRun(lake, self.context, partition, run_id, stages)
        report = self.stage_reports[stage] = run.report(stage)
        return report

    def publish(self, lake: Lake, partition: Partition, run_id: str) -> PublicationReport:
        """Publish every pending recording whose stages have all succeeded or one of whose stages has failed."""
        self.close()  # it may still hold the lease
        report = self.publication = publish_partition(lake, self.context, partition, run_id)
        return report

    def finish(self, lake: Lake, partition: Partition, run_id: str, *, after: Stage) -> PublicationReport:
        """Run the stages after one that has failed, and publish what has succeeded.

        Args:
            lake: The lake.
            partition: The partition.
            run_id: Dagster's run.
            after: The stage that has failed.
        """
        stages = tuple(Stage)
        for stage in stages[stages.index(after) + 1 :]:
            self.run_stage(lake, stage, partition, run_id)
        return self.publish(lake, partition, run_id)

    def close(self) -> None:
        """Stop what is in progress; finished work is kept."""
        if self._run is not None:
            self._run.close()
            self._run = None
