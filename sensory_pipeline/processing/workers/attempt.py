"""A task on its way through engine processes: how often it was tried, the journal of it, and its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sensory_pipeline.processing.tasks.task import Outcome, StageTask


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """The outcome of one task.

    Attributes:
        recording_id: The recording.
        outcome: Its result or error.
        seconds: From handing it out to its answer.
    """

    recording_id: str
    outcome: Outcome
    seconds: float


@dataclass(slots=True, kw_only=True)
class Attempt:
    """A task and its history.

    Attributes:
        task: The task.
        quarantined: Whether it was in progress when a process died, or was started by an earlier run and never
            finished.
        crashes: How often it was seen to kill or hang its process.
        began: When it was last handed out, in monotonic seconds.
    """

    task: StageTask
    quarantined: bool
    crashes: int
    began: float = 0.0


class Journal(Protocol):
    """Records what happens to each recording, before anything else happens to it."""

    def started(self, task: StageTask) -> None:
        """The task is being handed to a process."""

    def died(self, task: StageTask, cause: str) -> None:
        """Its process died, hung or failed while it was in progress."""

    def returned(self, task: StageTask) -> None:
        """It was not finished, for a reason that has nothing to do with the recording."""
