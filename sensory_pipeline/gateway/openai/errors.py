"""Problems as clients of OpenAI's API expect them: an object `error` with message, type, param and code."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse
from starlette.types import Scope

from sensory_pipeline.gateway.problems import Problem, document

_ADDRESSES = ("/v1/audio/", "/v1/models")
_CODES = {"no-key": "invalid_api_key", "queue-full": "rate_limit_exceeded"}
_BAD_REQUEST = (415, 422)  # which OpenAI answers with 400
_FINAL = (500, 504)  # what failed once, or took too long, would do so again


class Error(BaseModel):
    """What went wrong. message: what failed and what to do next; param: the field that is wrong, if one is."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorDocument(BaseModel):
    """What is sent."""

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
    """A problem with a request, in the form that its address has."""
    if not scope["path"].startswith(_ADDRESSES):
        return document(problem, scope)
    headers = dict(problem.headers)
    if problem.status in _FINAL:
        headers["X-Should-Retry"] = "false"  # by which OpenAI's clients know
    status = 400 if problem.status in _BAD_REQUEST else problem.status
    return JSONResponse({"error": error(problem)}, status, headers=headers)


def error(problem: Problem) -> dict[str, Any]:
    """The object `error`."""
    if problem.status == 429:
        kind = "rate_limit_error"
    else:
        kind = "server_error" if problem.status >= 500 else "invalid_request_error"
    code = _CODES.get(problem.kind, problem.kind.replace("-", "_"))
    return Error(message=problem.detail, type=kind, param=next(iter(problem.fields), None), code=code).model_dump()
