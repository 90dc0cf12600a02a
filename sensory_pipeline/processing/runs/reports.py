"""What a run did, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sensory_pipeline.core.stages import Stage, engines_at_fault
from sensory_pipeline.engines.cache_stats import CacheStats


@dataclass(frozen=True, slots=True, kw_only=True)
class StageReport:
    """What one stage did in one run: counts of recordings, seconds of audio and of work.

    audio_s: of what was worked on; fault: what the first engine to fail said; caches: of the models
    in each engine process, counted since it began, empty without models.
    """

    stage: Stage
    computed: int
    reused: int
    failed: int
    engine_faults: int
    fault: str | None
    deferred: int
    audio_s: float
    seconds: float
    engine: str
    device: str
    caches: tuple[CacheStats, ...]

    @property
    def engine_at_fault(self) -> bool:
        """Whether so many recordings failed of the engine that the run should fail, and not they."""
        return engines_at_fault(self.computed, self.engine_faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationReport:
    """published, failed, partial (damaged): recordings, in this run; pending: left in the partition; audio_s:
    seconds of audio published; rows: in the partition's tables now; errors: recordings by error class."""

    published: int
    failed: int
    partial: int
    pending: int
    audio_s: float
    rows: Mapping[str, int]
    errors: Mapping[str, int]
