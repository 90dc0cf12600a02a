"""What a run works with: engines, plans, limits and budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sensory_pipeline.core.stages import Stage
from sensory_pipeline.processing.plans import Plans
from sensory_pipeline.processing.workers.dispatcher import Dispatcher
from sensory_pipeline.processing.workers.pool import EnginePool
from sensory_pipeline.storage.s3_access import S3Access


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one recording, or one run, may take.

    Attributes:
        run_audio_hours: Hours of audio of one run.
        max_audio_hours: Hours of audio of one recording.
        recording_timeout_s: Seconds without a sign of life before the length of a recording is added.
        audio_cache_gb: Gigabytes of decoded audio that are kept.
    """

    run_audio_hours: float
    max_audio_hours: float
    recording_timeout_s: float
    audio_cache_gb: float


@dataclass(slots=True)
class Budget:
    """Seconds of audio that a run may take, and has taken."""

    limit_s: float
    taken_s: float = 0.0

    @property
    def spent(self) -> bool:
        return self.taken_s >= self.limit_s


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What does the work, and how.

    Attributes:
        dispatcher: Sends recordings to the engines.
        plans: The plan of each recording.
        limits: The limits.
        access: Access to S3.
        progress: Called with the stage and the recording_id when a stage has finished a recording.
    """

    dispatcher: Dispatcher
    plans: Plans
    limits: Limits
    access: S3Access
    progress: Callable[[Stage, str], None] = lambda _stage, _recording: None

    @property
    def pool(self) -> EnginePool:
        """The engine processes."""
        return self.dispatcher.pool
