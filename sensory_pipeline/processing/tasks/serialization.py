"""Stage results as JSON, for other processes and for the stage store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter

from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.emotions import Emotions
from sensory_pipeline.core.process_request import ProcessRequest
from sensory_pipeline.core.results import AudioFacts, RecordingResult
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.core.transcripts import Transcript

FACTS = TypeAdapter(AudioFacts)
TRANSCRIPT = TypeAdapter(Transcript)
DIARIZATION = TypeAdapter(Diarization)
EMOTIONS = TypeAdapter(Emotions)
PAYLOADS: Mapping[Stage, TypeAdapter[Any]] = {
    Stage.NORMALIZED_AUDIO: FACTS,
    Stage.TRANSCRIPTS: TRANSCRIPT,
    Stage.DIARIZATION: DIARIZATION,
    Stage.EMOTIONS: EMOTIONS,
}
"""Validates the JSON of each stage."""

T = TypeVar("T")


def assembled(payloads: Mapping[Stage, str], request: ProcessRequest) -> RecordingResult:
    """Return the result of a recording from the JSON of its stages.

    Args:
        payloads: JSON by stage; every stage has succeeded.
        request: What was asked.
    """
    return RecordingResult(
        audio=FACTS.validate_json(payloads[Stage.NORMALIZED_AUDIO]),
        transcript=_value(TRANSCRIPT, payloads.get(Stage.TRANSCRIPTS)),
        diarization=_value(DIARIZATION, payloads.get(Stage.DIARIZATION)),
        emotions=_value(EMOTIONS, payloads.get(Stage.EMOTIONS)),
        drop_doubtful=request.drop_doubtful,
    )


def _value(adapter: TypeAdapter[T], payload: str | None) -> T | None:
    return None if payload is None else adapter.validate_json(payload)
