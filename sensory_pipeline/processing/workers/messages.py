"""The messages between a pool and its engine processes.

A process receives `Open` for a stage, asks for tasks one by one with `Want`, receives each with `Take`, or `End`, and
sends `Closed` when it has answered all of them. Because it asks for tasks, an engine can read ahead as far as its
batches need.
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
    """Work on a stage.

    Attributes:
        stage: The stage.
        choice: Number of the set of engines that does it.
    """

    stage: Stage
    choice: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """The next task."""

    task: StageTask


@dataclass(frozen=True, slots=True)
class End:
    """There is no next task: finish those you have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The engines are set up, in a process of a pool on standby with their models loaded.

    Attributes:
        cache: Statistics of the model cache; None for engines without one.
        error: Why a model cannot be loaded; None if all can, or if the pool is not on standby.
    """

    cache: CacheStats | None
    error: ConfigurationError | None


@dataclass(frozen=True, slots=True)
class Want:
    """Asks for the next task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The outcome of a recording."""

    recording_id: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Did:
    """What the engines did since the last such message."""

    activities: tuple[Activity, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """Every task of the stage was answered.

    Attributes:
        cache: Statistics of the model cache; None for engines without one.
    """

    cache: CacheStats | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The engine raised an error, so the recordings that it was working on have no result."""

    error: ConfigurationError | EngineError


ToProcess = Open | Take | End
AboutTasks = Want | Answered | Closed | Failed
"""What a process sends only while a stage is open."""
FromProcess = Ready | Did | AboutTasks
