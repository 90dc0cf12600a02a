"""Finds the stage results of a recording that was moved or renamed, which are stored under its old uri.

A new recording counts as moved if its decoded sound equals that of a missing one, sample for sample. Size and
modification time are no proof: they can be equal by chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sensory_pipeline.core.recordings import Recording
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.ledger_entries import Pending
from sensory_pipeline.lake.stage_store import StageResult
from sensory_pipeline.processing.plans import Plan
from sensory_pipeline.processing.runs.backlog import stage_results
from sensory_pipeline.processing.tasks.serialization import FACTS


class Moved:
    """The recordings that are missing from their source when a run begins, by the hash of their sound."""

    def __init__(self, lake: Lake, plan: Plan) -> None:
        self._lake = lake
        self._plan = plan
        self._missing: dict[str, list[Recording]] = {}
        for sound, recording in lake.ledger.missing():
            self._missing.setdefault(sound, []).append(recording)

    def result(self, stage: Stage, item: Pending, inputs: Mapping[Stage, StageResult]) -> StageResult | None:
        """Return the stage's result for a missing recording with the same inputs, rewritten for this recording.

        Args:
            stage: The stage.
            item: The recording that waits.
            inputs: What the stage reads of this recording: its decoded audio, unless the stage is decoding, and others.

        Returns:
            The result, or None if there is none.
        """
        sound = sound_of(inputs.get(Stage.NORMALIZED_AUDIO))
        for recording in self._missing.get(sound, []) if sound else []:
            old = replace(item, recording=recording)
            found = self._stored(stage, old)
            if found is None or found.payload is None:
                continue
            if all(_is_same(read, given, self._stored(read, old)) for read, given in inputs.items()):
                new = item.recording
                return replace(found, recording_id=new.recording_id, version=new.version)
        return None

    def _stored(self, stage: Stage, item: Pending) -> StageResult | None:
        results = stage_results(self._lake, self._plan.stages[stage], item.recording.partition, [item])
        return results.get(item.recording.recording_id)


def sound_of(decoded: StageResult | None) -> str | None:
    """Return the hash of the sound in a normalized_audio result; None if it failed or is of an older version."""
    return FACTS.validate_json(decoded.payload).sound if decoded and decoded.payload else None


def _is_same(stage: Stage, ours: StageResult, theirs: StageResult | None) -> bool:
    if stage is Stage.NORMALIZED_AUDIO:
        return sound_of(ours) == sound_of(theirs)
    return theirs is not None and ours.payload == theirs.payload
