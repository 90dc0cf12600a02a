"""A task's way through engine processes: how often it was tried, who is told, and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sensory_pipeline.processing.tasks.task import Outcome, StageTask


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """outcome: of the recording's stage; seconds: from handing it out to its answer."""

    recording_id: str
    outcome: Outcome
    seconds: float


@dataclass(slots=True, kw_only=True)
class Attempt:
    """A task, and its history: a quarantined one was at work when a process died, or was started in an
    earlier run and never came to an end; crashes: times it was seen to kill or hang its process; began: when it
    was handed out last, in monotonic seconds."""

    task: StageTask
    quarantined: bool
    crashes: int
    began: float = 0.0


class Journal(Protocol):
    """Told of every recording what happens to it, before the next thing does."""

    def started(self, task: StageTask) -> None:
        """Handed to a process now."""

    def died(self, task: StageTask, cause: str) -> None:
        """It was at work when its process died, hung or failed."""

    def returned(self, task: StageTask) -> None:
        """Taken back unfinished, for a reason that is not its own."""
