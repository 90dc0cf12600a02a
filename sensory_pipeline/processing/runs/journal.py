"""Writes each change of a recording's state to the ledger before acting on it (write-ahead)."""

from __future__ import annotations

from dataclasses import dataclass

from sensory_pipeline.core.recordings import Recording
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.lake.ledger import Ledger
from sensory_pipeline.processing.tasks.task import StageTask


class AtWork:
    """Which stages are working on which recordings; for the ledger, all stages of a recording are one attempt."""

    def __init__(self) -> None:
        self._stages: dict[str, set[Stage]] = {}

    def begun(self, identity: str, stage: Stage) -> bool:
        """Note that a stage has begun; return whether it is the recording's first."""
        stages = self._stages.setdefault(identity, set())
        stages.add(stage)
        return len(stages) == 1

    def ended(self, identity: str, stage: Stage) -> bool:
        """Note that a stage has ended; return whether it was the recording's last."""
        self._stages.setdefault(identity, set()).discard(stage)
        return not self._stages[identity]


@dataclass(frozen=True, slots=True)
class LedgerJournal:
    """The journal of one stage.

    Attributes:
        stage: The stage.
        ledger: The ledger.
        recordings: The recordings by recording_id.
        at_work: Shared by all stages of the run.
    """

    stage: Stage
    ledger: Ledger
    recordings: dict[str, Recording]
    at_work: AtWork

    def started(self, task: StageTask) -> None:
        if self.at_work.begun(task.recording_id, self.stage):
            self.ledger.attempts.started(self.recordings[task.recording_id])

    def died(self, task: StageTask, cause: str) -> None:
        self.at_work.ended(task.recording_id, self.stage)
        self.ledger.attempts.crashed(self.recordings[task.recording_id], cause)

    def returned(self, task: StageTask) -> None:
        if self.at_work.ended(task.recording_id, self.stage):
            self.ledger.attempts.returned(self.recordings[task.recording_id])
