"""What has to run for a request, and the fingerprints that say whether it has run already."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from sensory_pipeline.core.process_request import ProcessRequest
from sensory_pipeline.core.sources import Source
from sensory_pipeline.core.stages import READS, Stage, fingerprint, stages_for
from sensory_pipeline.engines.base import EngineInfo
from sensory_pipeline.engines.request_support import check
from sensory_pipeline.engines.selection import Engines

log = logging.getLogger(__name__)

DECODING = EngineInfo(engine="pyav", model="pcm16", revision="16000", algorithm=2)
"""Increase `algorithm` when decoding returns other samples."""
CROSSTALK = 1
"""Increase when other sound is silenced in stereo recordings; mono recordings are not processed again."""
RECONCILIATION = 2
"""Increase when the same transcript and turns give other utterances or words, which emotions depend on."""
DOUBT = 1
"""Increase when other words of the same transcript and turns are doubtful."""
PUBLICATION = 6
"""Increase when the same stage results and utterances give other rows (sentences, columns)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """One stage as it would run now.

    Attributes:
        stage: The stage.
        info: The engine that does it.
        settings: JSON of the settings that change its output.
        fingerprint: Hash of everything that decides its output.
    """

    stage: Stage
    info: EngineInfo
    settings: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All stages of a request.

    Attributes:
        request: What to find out.
        choice: Number of the pool's set of engines that does the work.
        stages: Plans in the order of the stages.
        fingerprint: Hash of everything that decides the published rows.
    """

    request: ProcessRequest
    choice: int
    stages: Mapping[Stage, StagePlan]
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """The plan of each recording.

    Attributes:
        default: For recordings of sources without their own settings.
        sources: Sources with their own settings and plans, by what the uris of their recordings begin with.
    """

    default: Plan
    sources: Mapping[str, tuple[Source, Plan]] = field(default_factory=dict)

    def of(self, uri: str) -> Plan:
        """Return the plan of a recording: that of the innermost source that contains it."""
        found = self._around(uri)
        return self.sources[found][1] if found is not None else self.default

    def hold(self, uri: str) -> bool:
        """Return whether the innermost source of an object accepts it as a recording."""
        found = self._around(uri)
        return found is None or self.sources[found][0].holds(uri)

    def _around(self, uri: str) -> str | None:
        return max((prefix for prefix in self.sources if uri.startswith(prefix)), key=len, default=None)


def make_plan(request: ProcessRequest, engines: Engines, choice: int = 0) -> Plan:
    """Plan the stages of a request; log a warning for settings that an engine ignores.

    The fingerprint of a stage includes those of the stages that it reads, and the settings that its engine uses.

    Args:
        request: What to find out.
        engines: The engines, which are only asked for their versions.
        choice: Their number in the pool.

    Raises:
        UnsupportedLanguage: The transcriber does not support the language, as far as this is known without its model.
    """
    check(request, engines.transcriber.info)
    infos = {
        Stage.NORMALIZED_AUDIO: DECODING,
        Stage.TRANSCRIPTS: engines.transcriber.info,
        Stage.DIARIZATION: engines.diarizer.info,
        Stage.EMOTIONS: engines.classifier.info,
    }
    settings: dict[Stage, dict[str, object]] = {
        Stage.NORMALIZED_AUDIO: _decoding_settings(request),
        Stage.TRANSCRIPTS: request.tra.model_dump(mode="json"),
        Stage.DIARIZATION: request.dia.model_dump(mode="json"),
        Stage.EMOTIONS: request.emo.model_dump(mode="json"),
    }
    asked = {
        Stage.NORMALIZED_AUDIO: set[str](),
        Stage.TRANSCRIPTS: set(request.tra.model_dump(exclude_defaults=True)),
        Stage.DIARIZATION: set(request.dia.model_dump(exclude_defaults=True)),
        Stage.EMOTIONS: set(request.emo.model_dump(exclude_defaults=True)),
    }
    plans: dict[Stage, StagePlan] = {}
    for stage in stages_for(request):
        info = infos[stage]
        used = {
            name: value
            for name, value in settings[stage].items()
            if info.settings_used is None or name in info.settings_used
        }
        if ignored := sorted(asked[stage] - used.keys()):
            log.warning("%s ignores %s", info.engine, ", ".join(ignored))
        built_on = [plans[before].fingerprint for before in READS[stage] if before in plans]
        rules = _utterance_rules(request) if stage is Stage.EMOTIONS else {}
        plans[stage] = StagePlan(
            stage=stage,
            info=info,
            settings=json.dumps(used, sort_keys=True),
            fingerprint=fingerprint(
                {
                    "stage": stage.value,
                    "engine": [info.engine, info.model, info.revision, info.algorithm],
                    "settings": used,
                    "upstream": built_on,
                    **rules,
                }
            ),
        )
    whole = fingerprint(
        {
            "publication": PUBLICATION,
            "doubt": DOUBT,
            **_utterance_rules(request),
            "tasks": sorted(request.tasks),
            "stages": {stage.value: plan.fingerprint for stage, plan in plans.items()},
        }
    )
    return Plan(request=request, choice=choice, stages=plans, fingerprint=whole)


def _decoding_settings(request: ProcessRequest) -> dict[str, object]:
    """Return only settings that are used, so that a new setting does not change existing fingerprints."""
    settings: dict[str, object] = {"stereo": request.stereo}
    if request.track is not None:
        settings["track"] = request.track
    if request.stereo:
        settings["crosstalk"] = CROSSTALK
    return settings


def _utterance_rules(request: ProcessRequest) -> dict[str, object]:
    """Return what decides utterances besides the stages."""
    dropped = {"dropped": DOUBT} if request.drop_doubtful else {}
    return {"reconciliation": RECONCILIATION, **dropped}
