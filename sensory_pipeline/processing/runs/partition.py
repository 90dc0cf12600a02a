"""The stages of one partition in one run, side by side: each takes a recording when the one before has finished it.

A single thread runs them. Each stage is a generator that does what can be done and then pauses; meanwhile the engines
work in their own processes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Generator
from contextlib import ExitStack

from sensory_pipeline.core.errors import Abandoned, Crashed, EngineError, PromptTooLong, brief
from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.core.stages import READS, Stage
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.publication import recover
from sensory_pipeline.processing.runs.backlog import select_pending
from sensory_pipeline.processing.runs.context import Budget, RunContext
from sensory_pipeline.processing.runs.journal import AtWork
from sensory_pipeline.processing.runs.reports import StageReport
from sensory_pipeline.processing.runs.stage import StageRun

log = logging.getLogger(__name__)

ENGINE_FAULTS = (Crashed, EngineError, Abandoned, PromptTooLong)
"""Errors that may be the fault of the engine or its settings if no recording succeeds."""


class PartitionRun:
    """The stages of a partition; it holds the partition's lease until the last stage has ended, or it is closed."""

    def __init__(
        self, lake: Lake, context: RunContext, partition: Partition, run_id: str, stages: Collection[Stage]
    ) -> None:
        """Take the lease, and prepare the stages.

        Args:
            lake: The lake.
            context: Engines, plans and limits.
            partition: The partition.
            run_id: Dagster's run.
            stages: The stages to run.
        """
        self.partition = partition
        self.run_id = run_id
        self._lake = lake
        self._context = context
        self._lease = ExitStack()
        self._outcomes: dict[Stage, StageReport | Exception] = {}
        self._lease.enter_context(lake.lease(partition))
        try:
            recover(lake, partition)
            runs = self._runs(stages)
        except BaseException:
            self._lease.close()
            raise
        self._under_way = {stage: self._worked(stage, runs[stage]) for stage in stages}

    def has(self, stage: Stage) -> bool:
        """Return whether the stage is in progress, or has ended and its report was not read."""
        return stage in self._under_way or stage in self._outcomes

    def report(self, stage: Stage) -> StageReport:
        """Continue until the stage has ended, and return its report.

        Raises:
            Exception: The error that the stage failed with; the other stages can continue.
        """
        while stage not in self._outcomes:
            for name in list(self._under_way):
                self._step(name)
        outcome = self._outcomes.pop(stage)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def close(self) -> None:
        """Stop what is in progress; finished work is kept."""
        for stage, outcome in self._outcomes.items():
            if isinstance(outcome, Exception):  # the run ends before anybody asks for it
                log.warning("%s has failed: %s", stage, brief(outcome))
        self._outcomes.clear()
        with ExitStack() as ends:  # all of them, even if one raises
            ends.enter_context(self._lease)
            for work in self._under_way.values():
                ends.callback(work.close)
            self._under_way.clear()

    def _runs(self, stages: Collection[Stage]) -> dict[Stage, list[StageRun]]:
        """Create a run of each stage for each plan."""
        found: dict[Stage, list[StageRun]] = {stage: [] for stage in stages}
        budget = Budget(limit_s=self._context.limits.run_audio_hours * 3600)
        at_work = AtWork()
        for plan, pending in select_pending(self._lake, self._context, self.partition):
            mine: dict[Stage, StageRun] = {}
            for stage in (s for s in plan.stages if s in found):
                mine[stage] = StageRun(
                    self._lake,
                    self._context,
                    plan,
                    stage,
                    pending,
                    partition=self.partition,
                    run_id=self.run_id,
                    budget=budget,
                    at_work=at_work,
                    upstream={read: mine[read] for read in READS[stage] if read in mine},
                )
                found[stage].append(mine[stage])
            for run in reversed(mine.values()):
                run.prepare()
        return found

    def _step(self, stage: Stage) -> None:
        try:
            next(self._under_way[stage])
            return
        except StopIteration as end:
            self._outcomes[stage] = end.value
        except Exception as error:  # noqa: BLE001 - raised where the report of this stage is read
            self._outcomes[stage] = error
        del self._under_way[stage]
        if not self._under_way:
            self._lease.close()

    def _worked(self, stage: Stage, runs: list[StageRun]) -> Generator[None, None, StageReport]:
        began = time.monotonic()
        try:
            for run in runs:
                yield from run.work()
        finally:
            for run in runs:  # for the stages that it feeds, even if this one failed before it began
                run.over = True
        done = [settled for run in runs for settled in run.done]
        # a recording that crashes its process while others succeed is the cause itself
        suspects = ENGINE_FAULTS if all(settled.error for settled in done) else (EngineError, Abandoned)
        faults = [settled for settled in done if isinstance(settled.error, suspects)]
        infos = [run.plan.info for run in runs] or [self._context.plans.default.stages[stage].info]
        report = StageReport(
            stage=stage,
            computed=len(done),
            reused=sum(run.reused for run in runs),
            failed=sum(settled.error is not None for settled in done),
            engine_faults=len(faults),
            fault=str(faults[0].error) if faults else None,
            deferred=sum(run.deferred for run in runs),
            audio_s=sum(run.audio_s for run in runs),
            seconds=time.monotonic() - began,
            engine=", ".join(dict.fromkeys(f"{info.engine} {info.model}" for info in infos)),
            device=", ".join(dict.fromkeys(info.device for info in infos)),
            caches=self._context.pool.caches,
        )
        if report.engine_at_fault:
            self._lake.ledger.attempts.reset_failures(settled.recording for settled in faults)
        return report
