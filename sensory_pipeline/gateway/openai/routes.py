"""`/v1/audio/transcriptions`, `/v1/audio/translations` and `/v1/models`: OpenAI's API for recordings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from sensory_pipeline.gateway.openai import requests
from sensory_pipeline.gateway.openai.errors import ErrorDocument
from sensory_pipeline.gateway.openai.formats import (
    Delta,
    DiarizedSegment,
    DiarizedTranscription,
    Done,
    Transcription,
    VerboseTranscription,
)
from sensory_pipeline.gateway.openai.forms import TRANSCRIPTION, TRANSLATION, TranscriptionForm, TranslationForm
from sensory_pipeline.gateway.openai.requests import Asked, known
from sensory_pipeline.gateway.openai.responses import response
from sensory_pipeline.gateway.openai.streaming import streamed
from sensory_pipeline.gateway.problems import TITLES
from sensory_pipeline.gateway.process_route import while_connected
from sensory_pipeline.gateway.routes import client_of, service_of
from sensory_pipeline.gateway.service import Service
from sensory_pipeline.gateway.uploads import Form, uploaded

router = APIRouter(tags=["OpenAI's API"])

Reading = Callable[[Service, dict[str, list[bytes]]], Asked]


DOCUMENTED = (
    *(Transcription, VerboseTranscription, DiarizedTranscription, Delta, Done),
    *(TranscriptionForm, TranslationForm),
)
"""Models for the OpenAPI schema that no route has as a parameter or return value."""


class Model(BaseModel):
    """The name of a model; all names mean the engines of the service."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "sensory"


class Models(BaseModel):
    """The list of models."""

    object: Literal["list"] = "list"
    data: list[Model]


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route, for the OpenAPI schema.

    Args:
        statuses: HTTP statuses besides those that every route has.
    """
    return {
        status: {"description": TITLES[status].capitalize(), "model": ErrorDocument}
        for status in sorted({400, 401, 403, 421, *statuses})
    }


def _documented(form: type[BaseModel], *models: type[BaseModel], events: bool) -> dict[str, Any]:
    """The form and the response formats, for the OpenAPI schema."""
    schema = form.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)  # openapi_docs.py adds them
    schema["properties"] = {
        "file": {"type": "string", "format": "binary", "description": "A recording, in any format."},
        **{f"{name}[]" if "items" in value else name: value for name, value in schema["properties"].items()},
    }
    schema["properties"]["model"]["example"] = "whisper-1"
    schema["required"] = ["file", "model"]
    formats: dict[str, Any] = {
        "application/json": {"schema": _any_of(*models)},
        "text/plain": {"schema": {"type": "string"}},
        "text/vtt": {"schema": {"type": "string"}},
    }
    if events:
        data: dict[str, Any] = {"type": "string", "contentMediaType": "application/json"}
        data["contentSchema"] = _any_of(Delta, DiarizedSegment, Done)
        event = {"type": "object", "properties": {"data": data}, "required": ["data"]}
        formats["text/event-stream"] = {"itemSchema": event}
    return {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}},
        "responses": {"200": {"description": "In the format that response_format names.", "content": formats}},
    }


def _any_of(*models: type[BaseModel]) -> dict[str, Any]:
    return {"anyOf": [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]}


_ERRORS = errors(404, 408, 413, 429, 500, 503, 504)


@router.post(
    "/v1/audio/transcriptions",
    response_class=Response,
    responses=_ERRORS,
    openapi_extra=_documented(
        TranscriptionForm, Transcription, VerboseTranscription, DiarizedTranscription, events=True
    ),
    summary="Transcribe a recording, as OpenAI's API does",
)
async def transcriptions(request: Request) -> Response:
    """The text is the same as that of `/v1/process`. The service refuses options that it does not support, by name."""
    return await _answered(request, TRANSCRIPTION, requests.transcription)


@router.post(
    "/v1/audio/translations",
    response_class=Response,
    responses=_ERRORS,
    openapi_extra=_documented(TranslationForm, Transcription, VerboseTranscription, events=False),
    summary="Translate a recording into English, as OpenAI's API does",
)
async def translations(request: Request) -> Response:
    """Needs a multilingual model of Whisper."""
    return await _answered(request, TRANSLATION, requests.translation)


@router.get("/v1/models", response_model=Models, responses=errors(), summary="Names of models")
async def models(request: Request) -> Models:
    """The names in SENSORY_OPENAI_MODELS; all mean the engines of the service."""
    return Models(data=[Model(id=name) for name in service_of(request).service_settings.openai_models])


@router.get("/v1/models/{model:path}", response_model=Model, responses=errors(404), summary="One of the models")
async def model(request: Request, model: str) -> Model:
    """The model of that name, if there is one."""
    return Model(id=known(service_of(request), model))


async def _answered(request: Request, form: Form, read: Reading) -> Response:
    service = service_of(request)
    async with AsyncExitStack() as stack:
        upload = await stack.enter_async_context(uploaded(service, request, form))
        asked = read(service, upload.fields)
        result = service.result(upload.path, asked.request, client=client_of(request))
        work = while_connected(request, result, service.service_settings.request_timeout_s)
        if asked.stream:
            return await streamed(work, asked, stack)
        return await asyncio.to_thread(response, await work, asked)
