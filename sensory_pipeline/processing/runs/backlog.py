"""Selects the pending recordings of a partition that one run takes, and reads their stored results."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain

from pydantic import ValidationError

from sensory_pipeline.core.errors import Abandoned, Crashed, Terminal
from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.lake.attempts import MAX_ATTEMPTS
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.ledger_entries import Pending
from sensory_pipeline.lake.stage_store import StageResult
from sensory_pipeline.processing.plans import Plan, Plans, StagePlan
from sensory_pipeline.processing.runs.context import RunContext
from sensory_pipeline.processing.tasks.serialization import FACTS, PAYLOADS
from sensory_pipeline.processing.workers.stage_queue import MAX_CRASHES

log = logging.getLogger(__name__)

RETRY = "`sensory ingest --retry-failed` tries it again"
"""What a lake can do about a recording that is not tried again by itself."""


def stage_results(
    lake: Lake, plan: StagePlan, partition: Partition, pending: Sequence[Pending]
) -> dict[str, StageResult]:
    """Return the stored results of a stage, by recording_id.

    Results that somebody has asked to make again do not count, nor those that are not valid.

    Args:
        lake: The lake.
        plan: The plan of the stage.
        partition: The partition.
        pending: The recordings.
    """
    asked = {item.recording.recording_id: item for item in pending}
    wanted = {identity: (item.recording.version, plan.fingerprint) for identity, item in asked.items()}
    found = lake.stages.read(plan.stage, partition, wanted)
    return {
        identity: result
        for identity, result in found.items()
        if _stands(plan.stage, result, asked[identity]) and _is_understood(plan.stage, result)
    }


def _is_understood(stage: Stage, result: StageResult) -> bool:
    try:
        if result.payload is not None:
            PAYLOADS[stage].validate_json(result.payload)
    except ValidationError as error:
        log.warning(
            "the stored result of %s for %s is not valid and is made again: %s", stage, result.recording_id, error
        )
        return False
    return (result.payload is None) != (result.error_class is None)


def _stands(stage: Stage, result: StageResult, item: Pending) -> bool:
    if item.redo_before is not None and stage in item.redo_stages and result.made_at <= item.redo_before:
        return False
    return result.error_class is None or item.failures_reset_at is None or result.made_at > item.failures_reset_at


def select_pending(lake: Lake, context: RunContext, partition: Partition) -> list[tuple[Plan, tuple[Pending, ...]]]:
    """Select the pending recordings that one run takes, grouped by plan.

    They are taken in the order in which they were first seen, until the known durations reach the run's limit of hours;
    recordings of unknown duration count as nothing.
    """
    pending = lake.ledger.pending(partition)
    decoded: dict[str, StageResult] = {}
    for plan, items in by_plan(context.plans, pending):
        decoded |= stage_results(lake, plan.stages[Stage.NORMALIZED_AUDIO], partition, items)
    hours = accumulate(
        duration_s(result) / 3600 if (result := decoded.get(item.recording.recording_id)) else 0.0 for item in pending
    )
    before = chain([0.0], hours)
    taken = (item for item, sum_h in zip(pending, before, strict=False) if sum_h < context.limits.run_audio_hours)
    return by_plan(context.plans, taken)


def by_plan(plans: Plans, pending: Iterable[Pending]) -> list[tuple[Plan, tuple[Pending, ...]]]:
    """Group recordings by plan, in the order in which they were first seen."""
    found: dict[str, tuple[Plan, list[Pending]]] = {}
    for item in pending:
        plan = plans.of(item.recording.uri)
        found.setdefault(plan.fingerprint, (plan, []))[1].append(item)
    return [(plan, tuple(items)) for plan, items in found.values()]


def duration_s(result: StageResult) -> float:
    """Return the seconds of audio of a normalized_audio result; 0 if it failed."""
    return FACTS.validate_json(result.payload).duration_ms / 1000 if result.payload else 0.0


def given_up(item: Pending) -> Terminal | None:
    """Return why a recording is not tried again; None if it is."""
    if item.crashes >= MAX_CRASHES:
        return Crashed(f"{item.note}, {item.crashes} times")
    if item.attempts >= MAX_ATTEMPTS:
        return Abandoned(f"started {item.attempts} times and never finished{f' ({item.note})' if item.note else ''}")
    return None
