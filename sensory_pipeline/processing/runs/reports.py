"""Reports of what a run did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sensory_pipeline.core.stages import Stage, engines_at_fault
from sensory_pipeline.engines.cache_stats import CacheStats


@dataclass(frozen=True, slots=True, kw_only=True)
class StageReport:
    """What one stage did in one run.

    Attributes:
        stage: The stage.
        computed: Recordings that were worked on.
        reused: Recordings that had a stored result.
        failed: Recordings that failed.
        engine_faults: Recordings that failed with an error that may be the engine's fault.
        fault: Message of the first of these errors.
        deferred: Recordings that could not be processed for now.
        audio_s: Seconds of audio that were worked on.
        seconds: How long the stage took.
        engine: Engines and models.
        device: Devices.
        caches: Statistics of the model cache of each engine process since it began; empty without models.
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
    def idle(self) -> bool:
        """Whether there was nothing to do."""
        return not (self.computed or self.reused or self.deferred)

    @property
    def engine_at_fault(self) -> bool:
        """Whether so many recordings failed because of the engine that the run should fail instead of them."""
        return engines_at_fault(self.computed, self.engine_faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationReport:
    """What a publication did.

    Attributes:
        published: Recordings published by this run.
        failed: How many of them failed.
        partial: How many of them are damaged.
        pending: Recordings still pending in the partition.
        audio_s: Seconds of audio published.
        rows: Rows of the partition by table.
        errors: Failed recordings by error class.
    """

    published: int
    failed: int
    partial: int
    pending: int
    audio_s: float
    rows: Mapping[str, int]
    errors: Mapping[str, int]
