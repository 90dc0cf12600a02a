"""Errors of requests as problem details (RFC 9457, application/problem+json). Each says what to do next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
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
    405: "this address does not support the method",
    408: "the upload stalled",
    409: "the same request is being processed",
    413: "the recording is too large",
    415: "this is not a recording",
    421: "this is not a host name of the service",
    422: "the request cannot be fulfilled",
    429: "too much at once",
    500: "the recording could not be processed",
    503: "the service is not ready",
    504: "it took too long",
}


class FieldProblem(BaseModel):
    """What is wrong with one field of the request."""

    field: str
    message: str


class ProblemDocument(BaseModel):
    """The body of an error response."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "urn:sensory:queue-full",
                "title": "too much at once",
                "status": 429,
                "detail": "4.0 hours of audio are waiting: send it again in 60 s, or as a background job",
                "request_id": "0b53e1c5a5a54d3a8bd3a1b0a7c9e6f1",
            }
        }
    )

    type: str = Field(description="URN of the kind of problem.")
    title: str = Field(description="Title of the HTTP status.")
    status: int = Field(description="HTTP status.")
    detail: str = Field(description="What failed and what to do next.")
    request_id: str = Field(description="Id of the request, as in the log.")
    errors: list[FieldProblem] | None = Field(None, description="Invalid fields.")


class Problem(Exception):
    """An error response.

    Args:
        status: HTTP status.
        kind: Name of the problem for programs.
        detail: What failed and what to do next.
        headers: Additional headers of the response.
        fields: Invalid fields, each with what is wrong with it.
    """

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
        """The response for the client."""
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
"""Makes the response for a problem."""


def document(problem: Problem, scope: Scope) -> JSONResponse:
    """The response for a problem in the form of RFC 9457."""
    return problem.response(str(scope.get("request_id", "")))


def busy(kind: str, detail: str, retry_after_s: float, status: int = 429) -> Problem:
    """A problem with the header Retry-After, of `retry_after_s` seconds."""
    return Problem(status, kind, detail, headers={"Retry-After": str(max(1, round(retry_after_s)))})


def of_fields(error: ValidationError, root: str = "") -> Problem:
    """The problem of a request that pydantic refuses. It names the invalid fields without their values.

    Args:
        error: The error from pydantic.
        root: Path of the validated object, which is put before the names of the fields.
    """
    fields: dict[str, str] = {}
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        place = ".".join(filter(None, (root, *map(str, detail["loc"]))))
        message = "there is no such option" if detail["type"] == "extra_forbidden" else detail["msg"]
        fields[place] = message.removeprefix("Value error, ")
    return refused(fields)


def refused(fields: Mapping[str, str]) -> Problem:
    """The problem of a request with invalid or unsupported fields, each with the reason."""
    told = "; ".join(f"{field}: {message}" for field, message in fields.items())
    return Problem(422, "option-refused", told, fields=fields)


def of_error(error: SensoryError) -> Problem:
    """The problem for an error of a recording, an engine or the installation."""
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
        case Crashed():  # its own message tells how the process ended
            detail = "the recording crashed the engine several times: convert it to wav and send that"
            return Problem(500, kind, detail)
        case Terminal():
            status = 500
        case ConfigurationError():
            status = 422
        case _:
            status = 500
    return Problem(status, kind, str(error))


def install(app: FastAPI, shown: Shown = document) -> None:
    """Make the app respond to every error with a problem.

    Args:
        app: The application.
        shown: Makes the response for a problem.
    """

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
            headers["Allow"] = ", ".join(
                methods
            )  # Starlette names the methods of one route, but an address may have several
        detail = f"{error.detail}: see /docs for the addresses"
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
    """The methods of the address."""
    path = getattr(request.scope.get("route"), "path", "")
    return [method.upper() for method in app.openapi()["paths"].get(path, {})]
