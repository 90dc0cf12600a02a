"""What works on recordings, by which plans and within which limits; and a run's share of what is pending."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import TYPE_CHECKING

from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.ledger import Pending
from sensory_pipeline.lake.stage_store import StageResult
from sensory_pipeline.processing.plans import Plan, Plans, StagePlan
from sensory_pipeline.processing.tasks.serialization import FACTS
from sensory_pipeline.processing.workers.pool import EnginePool

if TYPE_CHECKING:
    from sensory_pipeline.processing.runs.partition import PartitionRun


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


@dataclass(slots=True, kw_only=True)
class Processor:
    """What does the work, and how. progress: told (stage, recording_id) as each recording is done; run: what
    it is at, or was at last."""

    pool: EnginePool
    plans: Plans
    limits: Limits
    progress: Callable[[Stage, str], None] = lambda _stage, _recording: None
    run: PartitionRun | None = None

    def close(self) -> None:
        """Stop what it is at."""
        if self.run is not None:
            self.run.close()
            self.run = None


def stage_results(
    lake: Lake, plan: StagePlan, partition: Partition, pending: Sequence[Pending]
) -> dict[str, StageResult]:
    """What the stage store holds under this plan of a stage, by recording.

    What was made before the moment somebody asked for another does not count.
    """
    asked = {item.recording.recording_id: item for item in pending}
    wanted = {identity: (item.recording.version, plan.fingerprint) for identity, item in asked.items()}
    found = lake.stages.read(plan.stage, partition, wanted)
    return {identity: result for identity, result in found.items() if _stands(plan.stage, result, asked[identity])}


def _stands(stage: Stage, result: StageResult, item: Pending) -> bool:
    if item.redo_before is not None and stage in item.redo_stages and result.made_at <= item.redo_before:
        return False
    return result.error_class is None or item.forgive_before is None or result.made_at > item.forgive_before


def share(lake: Lake, processor: Processor, partition: Partition) -> list[tuple[Plan, tuple[Pending, ...]]]:
    """What of the pending one run takes, in order of first sight: by the hours of audio that are
    known, and all whose hours are not known yet. It comes by plan."""
    pending = lake.ledger.pending(partition)
    decoded: dict[str, StageResult] = {}
    for plan, items in by_plan(processor.plans, pending):
        decoded |= stage_results(lake, plan.stages[Stage.NORMALIZED_AUDIO], partition, items)
    hours = accumulate(
        duration_s(result) / 3600 if (result := decoded.get(item.recording.recording_id)) else 0.0 for item in pending
    )
    before = chain([0.0], hours)
    taken = (item for item, sum_h in zip(pending, before, strict=False) if sum_h < processor.limits.run_audio_hours)
    return by_plan(processor.plans, taken)


def by_plan(plans: Plans, pending: Iterable[Pending]) -> list[tuple[Plan, tuple[Pending, ...]]]:
    """The same, put together by what is wanted of each, in order of first sight."""
    found: dict[str, tuple[Plan, list[Pending]]] = {}
    for item in pending:
        plan = plans.of(item.recording.uri)
        found.setdefault(plan.fingerprint, (plan, []))[1].append(item)
    return [(plan, tuple(items)) for plan, items in found.values()]


def duration_s(result: StageResult) -> float:
    """Seconds of audio, of a normalized_audio result; 0 for one that failed."""
    return FACTS.validate_json(result.payload).duration_ms / 1000 if result.payload else 0.0
