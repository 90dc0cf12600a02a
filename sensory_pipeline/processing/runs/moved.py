"""Recordings that were moved or renamed: what engines made of one under its old uri holds for it under the new one.

The proof is the decoded sound, sample for sample: size and modification time can agree by chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sensory_pipeline.core.recordings import Recording
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.ledger import Pending
from sensory_pipeline.lake.stage_store import StageResult
from sensory_pipeline.processing.plans import Plan
from sensory_pipeline.processing.runs.backlog import stage_results
from sensory_pipeline.processing.tasks.serialization import FACTS


class Moved:
    """What is missing from its source when a run begins, by its sound."""

    def __init__(self, lake: Lake, plan: Plan) -> None:
        self._lake = lake
        self._plan = plan
        self._missing: dict[str, list[Recording]] = {}
        for sound, recording in lake.ledger.missing():
            self._missing.setdefault(sound, []).append(recording)

    def result(self, stage: Stage, item: Pending, inputs: Mapping[Stage, StageResult]) -> StageResult | None:
        """What the stage made of the same inputs under another uri, as this recording's; None where there is none.

        inputs: what the stage reads of this recording. Its decoded sound is among them, except for decoding itself.
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
    """Hash of the sound, of a normalized_audio result; None for one that failed, or of an older version."""
    return FACTS.validate_json(decoded.payload).sound if decoded and decoded.payload else None


def _is_same(stage: Stage, ours: StageResult, theirs: StageResult | None) -> bool:
    if stage is Stage.NORMALIZED_AUDIO:
        return sound_of(ours) == sound_of(theirs)
    return theirs is not None and ours.payload == theirs.payload
