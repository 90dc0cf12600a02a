"""What a pool and its engine processes tell each other, as values that go through a pipe.

A process is told to `Open` a stage, asks for tasks one by one with `Want`, is given each with `Take`, or told to
`End`, and says `Closed` when it has answered all. Asking, rather than being given, lets an engine look ahead as far
as its batches need.
"""

from __future__ import annotations

from dataclasses import dataclass

from sensory_pipeline.core.errors import ConfigurationError, EngineError
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.core.timeline import Activity
from sensory_pipeline.engines.cache_stats import CacheStats
from sensory_pipeline.processing.tasks.task import Outcome, StageTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Work for a stage. choice: which of the process's sets of engines does it."""

    stage: Stage
    choice: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """The next task."""

    task: StageTask


@dataclass(frozen=True, slots=True)
class End:
    """There is no next task: answer what you have."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The engines are set up."""


@dataclass(frozen=True, slots=True)
class Want:
    """The next task, please."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a recording came to."""

    recording_id: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Did:
    """What the engines did since the last such message."""

    activities: tuple[Activity, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """Every task of the stage was answered. cache: what the models did; None for engines that have none."""

    cache: CacheStats | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The engine raised, so that what it was working on has no answer."""

    error: ConfigurationError | EngineError


ToProcess = Open | Take | End
AboutTasks = Want | Answered | Closed | Failed
"""What a process says only while a stage is open."""
FromProcess = Ready | Did | AboutTasks
