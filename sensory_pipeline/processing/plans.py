"""What has to run for a request, and the fingerprints that say whether it already did."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from sensory_pipeline.core.requests import ProcessRequest
from sensory_pipeline.core.sources import Source
from sensory_pipeline.core.stages import READS, Stage, fingerprint, stages_for
from sensory_pipeline.engines.base import EngineInfo
from sensory_pipeline.engines.capability import check
from sensory_pipeline.engines.selection import Engines

log = logging.getLogger(__name__)

DECODING = EngineInfo(engine="pyav", model="pcm16", revision="16000", algorithm=2)
"""Raise `algorithm` when decoding gives other samples."""
CROSSTALK = 1
"""Raise when other sound is silenced in stereo recordings; mono ones are not redone."""
RECONCILIATION = 2
"""Raise when the same transcript and turns give other utterances or words: emotions are told of those."""
DOUBT = 1
"""Raise when other words of the same transcript and turns are doubtful."""
PUBLICATION = 6
"""Raise when the same stage results and utterances give other rows (sentences, columns)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """One stage as it would run now. settings: JSON of those that change its output."""

    stage: Stage
    info: EngineInfo
    settings: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All stages of a request, in order. fingerprint: of what is published in the end; choice: number
    of the engines that do it, among those of a pool."""

    request: ProcessRequest
    choice: int
    stages: Mapping[Stage, StagePlan]
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """What is wanted of which recording. sources: those with settings of their own, by what the uris of
    their recordings begin with; default: for all others."""

    default: Plan
    sources: Mapping[str, tuple[Source, Plan]] = field(default_factory=dict)

    def of(self, uri: str) -> Plan:
        """The innermost source decides."""
        found = self._around(uri)
        return self.sources[found][1] if found is not None else self.default

    def hold(self, uri: str) -> bool:
        """Whether the innermost source takes an object for a recording."""
        found = self._around(uri)
        return found is None or self.sources[found][0].holds(uri)

    def _around(self, uri: str) -> str | None:
        return max((prefix for prefix in self.sources if uri.startswith(prefix)), key=len, default=None)


def make_plan(request: ProcessRequest, engines: Engines, choice: int = 0) -> Plan:
    """Fingerprints grow along the graph: a stage's holds those it builds on, and the settings its engine uses.

    A warning names settings that an engine ignores.
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
    """Those that are given, so that one that was never used redoes nothing."""
    settings: dict[str, object] = {"stereo": request.stereo}
    if request.track is not None:
        settings["track"] = request.track
    if request.stereo:
        settings["crosstalk"] = CROSSTALK
    return settings


def _utterance_rules(request: ProcessRequest) -> dict[str, object]:
    """What decides utterances, beside the stages."""
    dropped = {"dropped": DOUBT} if request.drop_doubtful else {}
    return {"reconciliation": RECONCILIATION, **dropped}
