"""Problems in the form of OpenAI's API: an object `error` with message, type, param and code."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse
from starlette.types import Scope

from sensory_pipeline.gateway.problems import Problem, document

_ADDRESSES = ("/v1/audio/", "/v1/models")
_CODES = {
    "no-key": "invalid_api_key",
    "queue-full": "rate_limit_exceeded",
    "rate-limited": "rate_limit_exceeded",
    "too-many-at-once": "rate_limit_exceeded",
}
_BAD_REQUEST = (415, 422)  # OpenAI sends 400 for these
_FINAL = (500, 504)  # a retry would fail again


class Error(BaseModel):
    """The object `error`."""

    message: str = Field(description="What failed and what to do next.")
    type: str = Field(description="Class of the error.")
    param: str | None = Field(description="The invalid field, if there is one.")
    code: str = Field(description="Kind of the problem.")


class ErrorDocument(BaseModel):
    """The body of an error response."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "error": {
                    "message": "model: there is no model gpt-5: send whisper-1",
                    "type": "invalid_request_error",
                    "param": "model",
                    "code": "model_not_found",
                }
            }
        }
    )

    error: Error


def shown(problem: Problem, scope: Scope) -> JSONResponse:
    """The response for a problem: in OpenAI's form for its addresses, and as RFC 9457 for all others."""
    if not scope["path"].startswith(_ADDRESSES):
        return document(problem, scope)
    headers = dict(problem.headers)
    if problem.status in _FINAL:
        headers["X-Should-Retry"] = "false"  # OpenAI's clients read this header
    status = 400 if problem.status in _BAD_REQUEST else problem.status
    return JSONResponse({"error": error(problem)}, status, headers=headers)


def error(problem: Problem) -> dict[str, Any]:
    """The object `error` for a problem."""
    if problem.status == 429:
        kind = "rate_limit_error"
    else:
        kind = "server_error" if problem.status >= 500 else "invalid_request_error"
    code = _CODES.get(problem.kind, problem.kind.replace("-", "_"))
    return Error(message=problem.detail, type=kind, param=next(iter(problem.fields), None), code=code).model_dump()
