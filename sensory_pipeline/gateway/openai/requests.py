"""Converts forms of OpenAI's API to requests of the pipeline. Each option is applied, or refused by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from sensory_pipeline.core.process_request import ProcessRequest, Task, TranscriptionSettings
from sensory_pipeline.gateway.openai.forms import Granularity, TranscriptionForm, TranslationForm, read
from sensory_pipeline.gateway.problems import Problem, of_fields, refused
from sensory_pipeline.gateway.service import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request of a client.

    Attributes:
        request: The request to the pipeline.
        response_format: Name of the response format.
        granularities: Whether verbose_json has words, segments or both.
        stream: Whether to respond with events.
    """

    request: ProcessRequest
    response_format: str
    granularities: frozenset[Granularity]
    stream: bool

    @property
    def task(self) -> Literal["transcribe", "translate"]:
        return "translate" if self.request.tra.translate else "transcribe"


def transcription(service: Service, fields: dict[str, list[bytes]]) -> Asked:
    """Convert the form of a transcription.

    Args:
        service: The service.
        fields: Values of each field, as received.

    Raises:
        Problem: A field is invalid or not supported.
        UnsupportedLanguage: The engine does not support the language.
    """
    form = read(TranscriptionForm, fields)
    granularities = frozenset(form.timestamp_granularities)
    if granularities and form.response_format != "verbose_json":
        raise refused({"timestamp_granularities": "only verbose_json has times: send response_format=verbose_json"})
    if form.stream and form.response_format not in ("json", "text", "diarized_json"):
        raise refused({"stream": f"{form.response_format} is not streamed: send json, text or diarized_json"})
    tasks = {Task.TRANSCRIBE} | ({Task.DIARIZATION} if form.response_format == "diarized_json" else set())
    update = form.settings() | _temperatures(form.temperature, service.default.tra)
    return Asked(
        request=checked(service, form.model, update, frozenset(tasks)),
        response_format=form.response_format,
        granularities=granularities or frozenset({"segment"}),
        stream=form.stream,
    )


def translation(service: Service, fields: dict[str, list[bytes]]) -> Asked:
    """Convert the form of a translation.

    Args:
        service: The service.
        fields: Values of each field, as received.

    Raises:
        Problem: A field is invalid, or the engine does not translate.
    """
    form = read(TranslationForm, fields)
    info = service.recognition.engines().transcriber.info
    if not info.translates:
        raise Problem(
            422,
            "no-translation",
            f"{info.engine} with the model {info.model} does not translate: ask the operator for a multilingual "
            "model of Whisper (for example WHISPER_MODEL_SIZE=small)",
            fields={"model": "it does not translate"},
        )
    update = {"translate": True, **_temperatures(form.temperature, service.default.tra)}
    if form.prompt:
        update["initial_prompt"] = form.prompt
    return Asked(
        request=checked(service, form.model, update, frozenset({Task.TRANSCRIBE})),
        response_format=form.response_format,
        granularities=frozenset({"segment"}),
        stream=False,
    )


def checked(service: Service, model: str | None, update: dict[str, Any], tasks: frozenset[Task]) -> ProcessRequest:
    """The default request with changed settings of the transcription.

    Args:
        service: The service.
        model: Name of the model, if the client names one.
        update: Settings to change.
        tasks: The tasks.

    Raises:
        Problem: The model is unknown, or a setting is invalid or not supported.
        UnsupportedLanguage: The engine does not support the language.
    """
    if model is not None:
        known(service, model)
    try:
        tra = TranscriptionSettings(**service.default.tra.model_dump() | update)
    except ValidationError as error:
        raise of_fields(error) from error
    request = service.default.model_copy(update={"tasks": tasks, "tra": tra})
    service.recognition.check(request)
    if ignored := service.ignored(request):
        raise refused({_NAMES.get(name, name): "the engine of this service ignores it" for name in ignored})
    return request


_NAMES = {"initial_prompt": "prompt", "hotwords": "keywords", "temperatures": "temperature"}
"""OpenAI's names of settings of the pipeline."""


def known(service: Service, model: str) -> str:
    """Check the name of a model, and return it.

    Raises:
        Problem: There is no such model.
    """
    names = service.service_settings.openai_models
    if model not in names:
        told = f"there is no model {model[:64]}: send {', '.join(names)}"
        raise Problem(404, "model-not-found", told, fields={"model": told})
    return model


def _temperatures(temperature: float, default: TranscriptionSettings) -> dict[str, Any]:
    """The temperatures to try. As in OpenAI's API, 0 also allows higher ones."""
    if temperature:
        return {"temperatures": (temperature,)}
    return {"temperatures": (0.0, *(value for value in default.temperatures if value))}
