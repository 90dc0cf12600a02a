"""`sensory process`: one file, here and now, without Dagster and without a lake."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.core.formats import json, text
from sensory_pipeline.core.requests import (
    EmotionLevel,
    EmotionSettings,
    ProcessRequest,
    Task,
    TranscriptionSettings,
)
from sensory_pipeline.engines.selection import chosen_engines
from sensory_pipeline.processing.recording import process_file
from sensory_pipeline.processing.setup import engine_choice
from sensory_pipeline.settings import Settings


class Format(StrEnum):
    JSON = "json"
    TEXT = "text"


def process(
    file: Annotated[Path, typer.Argument(help="The recording, in any format.")],
    tasks: Annotated[
        str,
        typer.Option("--tasks", help="What to find out, separated by commas: transcribe,diarization,emotion."),
    ] = ",".join(Task),
    emo_level: Annotated[
        EmotionLevel | None,
        typer.Option("--emo-level", help="Grain of the emotions. [default: $SENSORY_EMO_LEVEL]"),
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="ISO 639-1 code, or auto. [default: $SENSORY_LANGUAGE]")
    ] = None,
    beam_size: Annotated[
        int | None,
        typer.Option("--beam-size", help="Hypotheses kept while decoding. [default: $SENSORY_BEAM_SIZE]"),
    ] = None,
    stereo: Annotated[
        bool | None, typer.Option("--stereo/--mono", help="Each channel is one speaker. [default: $SENSORY_STEREO]")
    ] = None,
    format: Annotated[Format, typer.Option("--format", help="How to print the result.")] = Format.JSON,  # noqa: A002
) -> None:
    """Process one file and print the result to standard output."""
    settings = Settings()
    request = _request(settings.request(), tasks, emo_level, language, beam_size, stereo)
    engines = chosen_engines(engine_choice(settings, stereo=request.stereo))
    result = process_file(file, request, engines, max_audio_hours=settings.max_audio_hours)
    render = json.render if format is Format.JSON else text.render
    typer.echo(render(result, request.tasks))


def _request(
    default: ProcessRequest,
    tasks: str,
    level: EmotionLevel | None,
    language: str | None,
    beam_size: int | None,
    stereo: bool | None,
) -> ProcessRequest:
    try:
        return ProcessRequest(
            tasks=frozenset(Task(name.strip()) for name in tasks.split(",") if name.strip()),
            stereo=default.stereo if stereo is None else stereo,
            tra=TranscriptionSettings(
                language=language or default.tra.language,
                beam_size=default.tra.beam_size if beam_size is None else beam_size,
            ),
            dia=default.dia,
            emo=EmotionSettings(level=level or default.emo.level),
        )
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(problems) from error
    except ValueError as error:
        raise ConfigurationError(f"{error}: choose from {', '.join(Task)}") from error
