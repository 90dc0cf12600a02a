"""Forms and options of OpenAI's clients."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sensory_pipeline.core.languages import Code
from sensory_pipeline.core.process_request import Temperature
from sensory_pipeline.gateway.problems import of_fields, refused
from sensory_pipeline.gateway.uploads import Form

Granularity = Literal["word", "segment"]
F = TypeVar("F", bound=BaseModel)
_LISTS = ("timestamp_granularities", "languages", "keywords")
_FIXED_CHUNKING = "the service cuts speech at its own pauses: leave it out"
_NO_VOICES = "the service cannot identify speakers by voice samples: leave it out; they are named A, B, ..."


class Wire(BaseModel):
    """Base of what clients send. Unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Speech(Wire):
    """What a client knows about the speech."""

    prompt: str | None = Field(None, description="Example of the style and spelling you want.")
    language: Code | None = Field(None, description="ISO 639-1 code of the language; otherwise it is detected.")
    languages: tuple[Code, ...] = Field((), description="Languages that may be spoken.")
    keywords: tuple[str, ...] = Field((), description="Names and terms to expect.")

    def settings(self) -> dict[str, Any]:
        """The settings of the transcription that the client changes.

        Raises:
            Problem: Options contradict each other.
        """
        if self.language and self.languages:
            raise refused({"languages": "send either language or languages, not both"})
        update: dict[str, Any] = {}
        if self.prompt:
            update["initial_prompt"] = self.prompt
        if self.language or self.languages:
            update |= {"language": self.language or "auto", "languages": self.languages}
        if self.keywords:
            update["hotwords"] = " ".join(self.keywords)
        return update


def _chunking(value: Any) -> Any:
    """Parse the field, which is JSON or just the type."""
    try:
        return json.loads(value) if value.startswith("{") else {"type": value}
    except ValueError as error:
        raise ValueError('it is not JSON: send auto, or {"type": "server_vad"}') from error


class Chunking(Wire):
    """How to cut speech. The service always cuts it at its pauses."""

    type: Literal["auto", "server_vad"]


class TranslationForm(Wire):
    """Fields of POST /v1/audio/translations, without the recording."""

    model: str = Field(description="One of GET /v1/models; all stand for the engines of the service.")
    prompt: str | None = Field(None, description="Example of the style and spelling you want.")
    response_format: Literal["json", "text", "srt", "verbose_json", "vtt"] = "json"
    temperature: Temperature = Field(
        0, description="Temperature of decoding. With 0, higher ones are tried if the text fails a threshold."
    )


class TranscriptionForm(Speech):
    """Fields of POST /v1/audio/transcriptions, without the recording."""

    model: str = Field(description="One of GET /v1/models; all stand for the engines of the service.")
    response_format: Literal["json", "text", "srt", "verbose_json", "vtt", "diarized_json"] = "json"
    temperature: Temperature = Field(
        0, description="Temperature of decoding. With 0, higher ones are tried if the text fails a threshold."
    )
    timestamp_granularities: tuple[Granularity, ...] = Field(
        (), description="Whether verbose_json has words, segments or both; segments by default."
    )
    stream: bool = Field(False, description="Send json, text or diarized_json as server-sent events.")
    chunking_strategy: Annotated[Chunking | None, BeforeValidator(_chunking)] = Field(
        None,
        description="auto or server_vad: the service always cuts speech at its pauses.",
        json_schema_extra={"type": "string"},
    )


TRANSCRIPTION = Form(
    recording="file",
    single=frozenset(
        {
            "model",
            "language",
            "prompt",
            "response_format",
            "temperature",
            "stream",
            "chunking_strategy",
            "chunking_strategy[type]",
        }
    ),
    repeated=frozenset(
        f"{name}{brackets}"
        for name in _LISTS
        for brackets in ("", "[]")  # clients often omit the brackets
    ),
    refused={
        **{
            f"{name}{brackets}": reason
            for name, reason in (
                (
                    "include",
                    "there are no log probabilities of tokens: leave it out; /v1/process has probabilities of words",
                ),
                ("known_speaker_names", _NO_VOICES),
                ("known_speaker_references", _NO_VOICES),
            )
            for brackets in ("", "[]")
        },
        **{
            f"chunking_strategy[{name}]": _FIXED_CHUNKING
            for name in ("prefix_padding_ms", "silence_duration_ms", "threshold")
        },
    },
)
TRANSLATION = Form(
    recording="file",
    single=frozenset({"model", "prompt", "response_format", "temperature"}),
    refused={
        "language": "the spoken language is detected, and the text is English: leave it out",
        "stream": "translations are not streamed: leave it out",
    },
)


def read(form: type[F], fields: dict[str, list[bytes]]) -> F:
    """Validate the fields of a form. Empty values count as missing.

    Args:
        form: Model of the form.
        fields: Values of each field, as received.

    Raises:
        Problem: A field is invalid.
    """
    given: dict[str, Any] = {}
    for field, encoded in fields.items():
        try:
            values = [value.decode() for value in encoded]
        except UnicodeDecodeError:
            raise refused({field: "it is not UTF-8"}) from None
        name = field.removesuffix("[]")
        if name in _LISTS:
            given.setdefault(name, []).extend(filter(None, values))
        elif name == "chunking_strategy[type]":
            given["chunking_strategy"] = values[0]
        elif values[0]:
            given[name] = values[0]
    try:
        return form.model_validate(given)
    except ValidationError as error:
        raise of_fields(error) from error
