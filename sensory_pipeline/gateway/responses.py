"""The response of `POST /v1/process` and of the job endpoints."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

State = Literal["queued", "processing", "completed", "failed"]

_RESULT: dict[str, Any] = {
    "tra": {
        "text": "It is four o'clock.",
        "language": "en",
        "segments": [
            {
                "start": 0.5,
                "end": 1.7,
                "text": "It is four o'clock.",
                "words": [{"start": 0.5, "end": 0.6, "word": "It", "probability": 0.98, "speaker": "SPEAKER_00"}],
            }
        ],
        "chunks": [
            {
                "alternatives": [{"words": [{"start": 0.5, "end": 0.6, "word": " It", "confidence": 0.98}]}],
                "channelTag": "1",
            }
        ],
    },
    "dia": {"speakers": ["SPEAKER_00"], "turns": [{"start": 0.4, "end": 1.8, "speaker": "SPEAKER_00"}]},
    "emo": None,
}


class ProcessResponse(BaseModel):
    """The state of a request, and its result once it is completed."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"status": "completed", "job_id": None, "result": _RESULT, "error": None}}
    )

    status: State
    job_id: str | None = None
    result: dict[str, Any] | None = Field(
        None, description="tra, dia and emo. A task that was not requested is null, or absent if format_output is text."
    )
    error: str | None = Field(None, description="Why it failed and what to do next.")
