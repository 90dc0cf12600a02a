"""What both HTTP clients send, and how they read answers."""

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
"""Without a limit for reading: an answer takes as long as the recording needs."""
POLL_S, MOST_POLL_S = 0.5, 10.0
"""First and longest time between two requests for the state of a job, in seconds; it doubles each time."""
_TRY_AGAIN = frozenset({408, 409, 429, 502, 503})


class Options(TypedDict, total=False):
    """What to find out about a recording; the service decides what is not given.

    Attributes:
        tasks: Any of "transcribe", "diarization", "emotion"; the default is the first.
        emo_level: "word", "sentence", "speaker" or "file".
        language: ISO 639-1 code.
        tra: More options of the transcription, with faster-whisper's names.
        dia: Options of the diarization: {"stereo_mode": True}.
    """

    tasks: Sequence[Task]
    emo_level: EmotionLevel
    language: str
    tra: Mapping[str, Any]
    dia: Mapping[str, Any]


def settings(options: Options) -> dict[str, Any]:
    """Return the settings in the form of the service's contract."""
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
    """One request.

    Attributes:
        options: What to find out.
        background: Whether to process it as a job.
        webhook_url: URL that the service tells when the job is finished.
        key: Idempotency key: the service processes the request once, however often it is sent.
    """

    options: Options
    background: bool = False
    webhook_url: str | None = None
    key: str = field(default_factory=lambda: str(uuid.uuid4()))

    def form(self, upload: Upload) -> dict[str, Any]:
        """Return the arguments of httpx2's `post`."""
        asked = {"settings": settings(self.options), "format_output": "json", "async_process": self.background}
        if self.webhook_url is not None:
            asked["webhook_url"] = self.webhook_url
        upload.rewind()
        return {
            "files": {"audio": (upload.name, upload, "application/octet-stream")},
            "data": {"request_json": json.dumps(asked)},
            "headers": {"Idempotency-Key": self.key},
        }


def checked(url: str, *schemes: str) -> str:
    """Return the URL of the service.

    Raises:
        ServiceError: It begins with none of the schemes, such as localhost:8001.
    """
    if not url.lower().startswith(tuple(f"{scheme}://" for scheme in schemes)):
        raise ServiceError(None, f"{url} is not the URL of a service: write it like http://127.0.0.1:8001")
    return url


def headers(key: str | None) -> dict[str, str]:
    """Return the headers of every request, with a key that `sensory keys new` has printed."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def accepted(response: httpx2.Response) -> Mapping[str, Any]:
    """Return the body of a successful answer.

    Raises:
        ServiceError: The request was not successful.
    """
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
    """Return the result of an answer; None while the job is not finished.

    Raises:
        JobFailed: The job has failed.
    """
    if answer["status"] == "failed":
        raise JobFailed(None, str(answer.get("error") or "the job failed"))
    return Result(answer["result"]) if answer["status"] == "completed" else None


def unreachable(url: httpx2.URL, error: httpx2.TransportError) -> ServiceError:
    """Return the ServiceError for a transport error."""
    reason = str(error) or type(error).__name__
    return ServiceError(None, f"{url.netloc.decode()} does not answer ({reason}): is it running there?")


def should_retry(error: Exception) -> bool | float:
    """Return whether to send a request again, or the seconds to wait before, if the service says so."""
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
