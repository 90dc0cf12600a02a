"""What a run works with: its engines, its plans, its limits and its budget."""

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
    """What one recording, or one run, may take. Hours and seconds of audio, seconds of silence."""

    run_audio_hours: float
    max_audio_hours: float
    recording_timeout_s: float
    audio_cache_gb: float

    def silence_s(self, duration_s: float) -> float:
        """Seconds without a sign of life after which an engine counts as hung on a recording."""
        return self.recording_timeout_s + 10 * duration_s

    def decoding_s(self, size_bytes: int) -> float:
        """The same for decoding, where nobody knows the duration yet: a slow network gives 1 MB a second,
        and decoding takes as long again."""
        return self.recording_timeout_s + size_bytes / 5e5


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
    """What does the work, and how. access: to S3; progress: told (stage, recording_id) as each recording is done."""

    dispatcher: Dispatcher
    plans: Plans
    limits: Limits
    access: S3Access
    progress: Callable[[Stage, str], None] = lambda _stage, _recording: None

    @property
    def pool(self) -> EnginePool:
        """The processes with the engines."""
        return self.dispatcher.pool
