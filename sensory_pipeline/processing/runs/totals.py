"""What a partition has of a stage, whichever runs made it."""

from __future__ import annotations

from dataclasses import dataclass

from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.tasks.serialization import FACTS


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTotals:
    """The recordings of a partition that have a result of a stage.

    Attributes:
        recordings: How many they are.
        failed: How many of them failed in this stage.
        audio_s: Seconds of audio of the others.
    """

    recordings: int
    failed: int
    audio_s: float


def stage_totals(lake: Lake, stage: Stage, partition: Partition) -> StageTotals:
    """Count the stored results of a stage for the recordings that are still in their source.

    Args:
        lake: The lake.
        stage: The stage.
        partition: The partition.
    """
    present = [item for item in lake.ledger.known(partition.date) if item.partition == partition]
    versions = {item.recording_id: item.version for item in present}
    errors = lake.stages.newest(stage, partition, versions, "error_class")
    succeeded = {identity: versions[identity] for identity, error in errors.items() if error is None}
    decoded = lake.stages.newest(Stage.NORMALIZED_AUDIO, partition, succeeded, "payload")
    return StageTotals(
        recordings=len(errors),
        failed=len(errors) - len(succeeded),
        audio_s=sum(FACTS.validate_json(payload).duration_ms for payload in decoded.values() if payload) / 1000,
    )
