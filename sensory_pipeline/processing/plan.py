"""What has to run for a request, and the fingerprints that say whether it already did."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sensory_pipeline.core.requests import ProcessRequest
from sensory_pipeline.core.stages import READS, Stage, fingerprint, stages_for
from sensory_pipeline.engines.base import EngineInfo
from sensory_pipeline.engines.selection import Engines

DECODING = EngineInfo(engine="pyav", model="pcm16", revision="16000", algorithm=1)
"""Raise `algorithm` when decoding gives other samples."""
PUBLICATION = 2
"""Raise when the same stage results give other rows (attribution, sentences, columns)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """One stage as it would run now. settings: JSON of those that change its output."""

    stage: Stage
    info: EngineInfo
    settings: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All stages of a request, in order. fingerprint: of what is published in the end."""

    request: ProcessRequest
    stages: Mapping[Stage, StagePlan]
    fingerprint: str


def make_plan(request: ProcessRequest, engines: Engines) -> Plan:
    """Fingerprints grow along the graph: a stage's holds those it builds on."""
    infos = {
        Stage.NORMALIZED_AUDIO: DECODING,
        Stage.TRANSCRIPTS: engines.transcriber.info,
        Stage.DIARIZATION: engines.diarizer.info,
        Stage.EMOTIONS: engines.classifier.info,
    }
    settings: dict[Stage, dict[str, object]] = {
        Stage.NORMALIZED_AUDIO: {"stereo": request.stereo},
        Stage.TRANSCRIPTS: request.tra.model_dump(mode="json"),
        Stage.DIARIZATION: request.dia.model_dump(mode="json"),
        Stage.EMOTIONS: request.emo.model_dump(mode="json"),
    }
    plans: dict[Stage, StagePlan] = {}
    for stage in stages_for(request):
        info = infos[stage]
        built_on = [plans[before].fingerprint for before in READS[stage] if before in plans]
        plans[stage] = StagePlan(
            stage=stage,
            info=info,
            settings=json.dumps(settings[stage], sort_keys=True),
            fingerprint=fingerprint(
                {
                    "stage": stage.value,
                    "engine": [info.engine, info.model, info.revision, info.algorithm],
                    "settings": settings[stage],
                    "upstream": built_on,
                }
            ),
        )
    whole = fingerprint(
        {
            "publication": PUBLICATION,
            "tasks": sorted(request.tasks),
            "stages": {stage.value: plan.fingerprint for stage, plan in plans.items()},
        }
    )
    return Plan(request=request, stages=plans, fingerprint=whole)
