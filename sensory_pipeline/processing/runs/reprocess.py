"""Processing again although nothing has changed: the stages of an engine, and the stages that depend on them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.core.recordings import Partition, Recording
from sensory_pipeline.core.stages import Stage, with_dependents
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.plans import Plan, Plans


def reprocess(lake: Lake, plans: Plans, recordings: Iterable[Recording], *, engine: str | None = None) -> int:
    """Make recordings pending again; their rows stay until new ones replace them.

    Args:
        lake: The lake.
        plans: The plan of each recording.
        recordings: The recordings.
        engine: Only its stages, the stages that depend on them, and recordings that it works on; None for all stages.

    Returns:
        The number of recordings.
    """
    by_stages: dict[frozenset[Stage], list[Recording]] = {}
    for recording in recordings:
        if stages := _stages(plans.of(recording.uri), engine):
            by_stages.setdefault(stages, []).append(recording)
    for stages, chosen in by_stages.items():
        lake.ledger.redo(chosen, stages)
    return sum(len(chosen) for chosen in by_stages.values())


def reprocess_stage(lake: Lake, stage: Stage, partition: Partition, uris: Collection[str] = ()) -> None:
    """Make a partition's recordings pending again, from a stage on.

    Args:
        lake: The lake.
        stage: The first stage to repeat.
        partition: The partition.
        uris: Only these recordings; all if empty.

    Raises:
        ConfigurationError: A uri is not in the partition.
    """
    known = {recording.uri: recording for recording in lake.ledger.known(partition.date)}
    mine = {uri: recording for uri, recording in known.items() if recording.partition == partition}
    if strange := [uri for uri in uris if uri not in mine]:
        raise ConfigurationError(f"partition {partition.key} has no recording {', '.join(strange)}")
    lake.ledger.redo([mine[uri] for uri in uris or mine], with_dependents([stage]))


def engines_of(plans: Plans) -> list[str]:
    """Return the names of all engines that the plans use, in the order of the stages."""
    every = [plans.default, *(plan for _, plan in plans.sources.values())]
    return list(dict.fromkeys(stage.info.engine for plan in every for stage in plan.stages.values()))


def _stages(plan: Plan, engine: str | None) -> frozenset[Stage]:
    return with_dependents(
        stage for stage, planned in plan.stages.items() if engine is None or planned.info.engine == engine
    )
