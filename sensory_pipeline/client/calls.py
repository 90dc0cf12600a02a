"""What both HTTP clients send, and what they make of answers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

import httpx2

from sensory_pipeline.client.errors import JobFailed, ServiceError
from sensory_pipeline.client.results import Result
from sensory_pipeline.client.uploads import Upload

Task = Literal["transcribe", "diarization", "emotion"]
EmotionLevel = Literal["word", "sentence", "speaker", "file"]

PROCESS = "/v1/process"
TIMEOUT = httpx2.Timeout(connect=10, read=None, write=60, pool=None)
"""An answer takes as long as the recording takes."""
POLL_S, MOST_POLL_S = 0.5, 10.0
"""Seconds between two looks at a job; they double."""
_TRY_AGAIN = frozenset({408, 409, 429, 502, 503})


class Options(TypedDict, total=False):
    """What may be asked of a recording.

    tasks: some of "transcribe", "diarization", "emotion"; the first where nothing is said. emo_level: "word",
    "sentence", "speaker" or "file". language: ISO 639-1 code. tra: more options of the transcription, under
    faster-whisper's names; dia: of the diarization, {"stereo_mode": True}. The service decides what is not given.
    """

    tasks: Sequence[Task]
    emo_level: EmotionLevel
    language: str
    tra: Mapping[str, Any]
    dia: Mapping[str, Any]


def settings(options: Options) -> dict[str, Any]:
    """As the contract has them."""
    found: dict[str, Any] = {"tasks": list(options.get("tasks", ("transcribe",)))}
    tra = dict(options.get("tra", {}))
    if language := options.get("language"):
        tra["language"] = language
    if tra:
        found["tra"] = tra
    if dia := options.get("dia"):
        found["dia"] = dict(dia)
    if level := options.get("emo_level"):
        found["emo"] = {"analysis_level": level}
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. key: makes the service do it once, however often it is sent."""

    options: Options
    background: bool = False
    key: str = field(default_factory=lambda: str(uuid.uuid4()))

    def form(self, upload: Upload) -> dict[str, Any]:
        """The arguments of httpx2's `post`."""
        asked = {"settings": settings(self.options), "format_output": "json", "async_process": self.background}
        upload.rewind()
        return {
            "files": {"audio": (upload.name, upload, "application/octet-stream")},
            "data": {"request_json": json.dumps(asked)},
            "headers": {"Idempotency-Key": self.key},
        }


def headers(key: str | None) -> dict[str, str]:
    """Of every request. key: as `sensory keys new` gave it."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def accepted(response: httpx2.Response) -> Mapping[str, Any]:
    """The answer of a request that went well. Raises ServiceError for any other."""
    value: Any = None
    with suppress(ValueError):
        value = response.json()
    if response.is_success and isinstance(value, Mapping):
        return value
    detail = value.get("detail") if isinstance(value, Mapping) else None
    raise ServiceError(
        response.status_code,
        str(detail or f"{response.reason_phrase or 'no answer'} from {response.request.url.host}"),
        retry_after_s=_seconds(response.headers.get("Retry-After")),
    )


def finished(answer: Mapping[str, Any]) -> Result | None:
    """The result; None while there is none. Raises JobFailed where there will be none."""
    if answer["status"] == "failed":
        raise JobFailed(None, str(answer.get("error") or "the job failed"))
    return Result(answer["result"]) if answer["status"] == "completed" else None


def unreachable(url: httpx2.URL, error: httpx2.TransportError) -> ServiceError:
    """The same as an error of ours."""
    reason = str(error) or type(error).__name__
    return ServiceError(None, f"{url.host} does not answer ({reason}): is it running there?")


def should_retry(error: Exception) -> bool | float:
    """Whether a request is worth another try; seconds to wait before it, where the service says."""
    if isinstance(error, httpx2.TransportError):
        return True
    if isinstance(error, ServiceError) and error.status in _TRY_AGAIN:
        return True if error.retry_after_s is None else error.retry_after_s
    return False


def _seconds(value: str | None) -> float | None:
    try:
        return None if value is None else max(0.0, float(value))
    except ValueError:  # a date
        return None
