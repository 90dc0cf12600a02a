"""What went wrong with a request, as RFC 9457 has it: application/problem+json that says what to do next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import Scope

from sensory_pipeline.core.errors import (
    AudioError,
    AudioTooLong,
    ConfigurationError,
    Crashed,
    EmptyAudio,
    EngineUnavailable,
    PromptTooLong,
    SensoryError,
    Terminal,
    Transient,
    UnreadableAudio,
    UnsupportedLanguage,
)

MEDIA_TYPE = "application/problem+json"

TITLES = {
    400: "the request cannot be read",
    401: "a key is needed",
    403: "pages of other sites have no access",
    404: "there is no such thing",
    405: "this address is used in another way",
    408: "the upload stalled",
    409: "the same request is under way",
    413: "the recording is too large",
    415: "this is no recording",
    421: "this is not the name of the service",
    422: "the request asks for what cannot be done",
    429: "too much is waiting",
    500: "the recording could not be processed",
    503: "the service is not ready",
    504: "it took too long",
}


class FieldProblem(BaseModel):
    """What is wrong with one field of the request."""

    field: str
    message: str


class ProblemDocument(BaseModel):
    """What is sent. type: of the problem, a name of this service; detail: what failed and what to do next."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "urn:sensory:queue-full",
                "title": "too much is waiting",
                "status": 429,
                "detail": "4.0 hours of audio are waiting: send it again in 60 s, or as a background job",
                "request_id": "0b53e1c5a5a54d3a8bd3a1b0a7c9e6f1",
            }
        }
    )

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldProblem] | None = None


class Problem(Exception):
    """kind: a name for programs; fields: what is wrong with each of these."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.headers = dict(headers or {})
        self.fields = dict(fields or {})

    def response(self, request_id: str) -> JSONResponse:
        """What the client is sent."""
        content: dict[str, Any] = {
            "type": f"urn:sensory:{self.kind}",
            "title": TITLES.get(self.status, "the request failed"),
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
        }
        if self.fields:
            content["errors"] = [{"field": field, "message": message} for field, message in self.fields.items()]
        return JSONResponse(content, self.status, headers=self.headers, media_type=MEDIA_TYPE)


Shown = Callable[[Problem, Scope], JSONResponse]
"""Makes what a client is sent for a problem with its request."""


def document(problem: Problem, scope: Scope) -> JSONResponse:
    """As RFC 9457 has it."""
    return problem.response(str(scope.get("request_id", "")))


def busy(kind: str, detail: str, retry_after_s: float, status: int = 429) -> Problem:
    """The client is to come back after so many seconds."""
    return Problem(status, kind, detail, headers={"Retry-After": str(max(1, round(retry_after_s)))})


def of_fields(error: ValidationError, root: str = "") -> Problem:
    """What pydantic refuses, field by field, without the values that were given. root: where they lie."""
    fields: dict[str, str] = {}
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        place = ".".join(filter(None, (root, *map(str, detail["loc"]))))
        message = "there is no such option" if detail["type"] == "extra_forbidden" else detail["msg"]
        fields[place] = message.removeprefix("Value error, ")
    return refused(fields)


def refused(fields: Mapping[str, str]) -> Problem:
    """Options that cannot be obeyed, each with its reason."""
    told = "; ".join(f"{field}: {message}" for field, message in fields.items())
    return Problem(422, "option-refused", told, fields=fields)


def of_error(error: SensoryError) -> Problem:
    """What a recording, an engine or the installation failed with."""
    kind = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in type(error).__name__).lstrip("-")
    match error:
        case EmptyAudio():
            status = 400
        case AudioTooLong():
            status = 413
        case UnreadableAudio():
            status = 415
        case AudioError() | PromptTooLong() | UnsupportedLanguage():
            status = 422
        case EngineUnavailable() | Transient():
            return busy(kind, str(error), 30, 503)
        case Crashed():  # whose message tells what to do in a lake
            detail = "the recording ended the process that worked on it, several times: convert it to wav and send that"
            return Problem(500, kind, detail)
        case Terminal():
            status = 500
        case ConfigurationError():
            status = 422
        case _:
            status = 500
    return Problem(status, kind, str(error))


def install(app: FastAPI, shown: Shown = document) -> None:
    """Answer every error of the app as a problem."""

    async def known(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem)
        return shown(error, request.scope)

    async def recording(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, SensoryError)
        return shown(of_error(error), request.scope)

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        if error.status_code == 405 and (methods := _methods(app, request)):
            headers["Allow"] = ", ".join(methods)  # Starlette names those of one route, and an address may have several
        detail = f"{error.detail}: see /docs for what there is"
        return shown(Problem(error.status_code, "http", detail, headers=headers), request.scope)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        fields = {".".join(map(str, detail["loc"])): str(detail["msg"]) for detail in error.errors()}
        return shown(refused(fields), request.scope)

    app.add_exception_handler(Problem, known)
    app.add_exception_handler(SensoryError, recording)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)


def _methods(app: FastAPI, request: Request) -> list[str]:
    """That the address is used with."""
    path = getattr(request.scope.get("route"), "path", "")
    return [method.upper() for method in app.openapi()["paths"].get(path, {})]
