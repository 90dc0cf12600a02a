"""What has to run for a request, and the fingerprints that say whether it already did."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from sensory_pipeline.core.errors import UnsupportedLanguage
from sensory_pipeline.core.requests import ProcessRequest, Task
from sensory_pipeline.core.stages import READS, Stage, fingerprint, stages_for
from sensory_pipeline.engines.base import EngineInfo
from sensory_pipeline.engines.selection import Engines

log = logging.getLogger(__name__)

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
    """Fingerprints grow along the graph: a stage's holds those it builds on, and the settings its engine heeds.

    Raises UnsupportedLanguage where that is known without the model.
    """
    check(request, engines.transcriber.info)
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
        heeded = {name: value for name, value in settings[stage].items() if info.heeds is None or name in info.heeds}
        built_on = [plans[before].fingerprint for before in READS[stage] if before in plans]
        plans[stage] = StagePlan(
            stage=stage,
            info=info,
            settings=json.dumps(heeded, sort_keys=True),
            fingerprint=fingerprint(
                {
                    "stage": stage.value,
                    "engine": [info.engine, info.model, info.revision, info.algorithm],
                    "settings": heeded,
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


def check(request: ProcessRequest, transcriber: EngineInfo) -> None:
    """Whether the transcriber can do what is asked; a warning names what it does not heed.

    Raises UnsupportedLanguage where that is known without the model.
    """
    if Task.TRANSCRIBE not in request.tasks:
        return
    language = request.tra.language
    if language != "auto" and transcriber.languages is not None and language not in transcriber.languages:
        raise UnsupportedLanguage(
            f"{transcriber.engine} knows {', '.join(sorted(transcriber.languages))} only, not {language!r}: set the "
            "language to one of these or auto, or choose another engine, as with WHISPER_MODEL_SIZE=small"
        )
    asked = request.tra.model_dump(exclude_defaults=True)
    if transcriber.heeds is not None and (ignored := sorted(set(asked) - transcriber.heeds)):
        log.warning(
            "%s does not heed %s; Whisper does: WHISPER_MODEL_SIZE=small", transcriber.engine, ", ".join(ignored)
        )
