"""`sensory process`: one file, here and now, without Dagster and without a lake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from sensory_pipeline.cli.console import errors, reader_may_leave
from sensory_pipeline.cli.formats import Format
from sensory_pipeline.cli.models import fetch_with_progress
from sensory_pipeline.cli.problems import problems
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.core.formats import json, text
from sensory_pipeline.core.requests import (
    DiarizationSettings,
    EmotionLevel,
    EmotionSettings,
    ProcessRequest,
    Task,
    TranscriptionSettings,
)
from sensory_pipeline.processing.setup import engine_choice, shared_engines
from sensory_pipeline.processing.single_file import process_file
from sensory_pipeline.settings import Settings


def process(
    file: Annotated[Path, typer.Argument(help="The recording, in any format.")],
    tasks: Annotated[
        str | None,
        typer.Option("--tasks", help=f"Any of {', '.join(Task)}, separated by commas.", show_default="all"),
    ] = None,
    emo_level: Annotated[
        EmotionLevel | None,
        typer.Option("--emo-level", help="Level of the emotions.", show_default="SENSORY_EMO_LEVEL"),
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="ISO 639-1 code, or auto.", show_default="SENSORY_LANGUAGE")
    ] = None,
    beam_size: Annotated[
        int | None,
        typer.Option("--beam-size", help="Hypotheses kept while decoding.", show_default="SENSORY_BEAM_SIZE"),
    ] = None,
    translate: Annotated[
        bool | None, typer.Option("--translate", help="Translate speech in other languages into English.")
    ] = None,
    initial_prompt: Annotated[
        str | None, typer.Option("--initial-prompt", help="Example of the style and spelling you want.")
    ] = None,
    hotwords: Annotated[str | None, typer.Option("--hotwords", help="Names and terms to expect.")] = None,
    speakers: Annotated[int | None, typer.Option("--speakers", help="Exact number of speakers.")] = None,
    min_speakers: Annotated[int | None, typer.Option("--min-speakers", help="Minimum number of speakers.")] = None,
    max_speakers: Annotated[int | None, typer.Option("--max-speakers", help="Maximum number of speakers.")] = None,
    stereo: Annotated[
        bool | None,
        typer.Option("--stereo/--mono", help="Each channel is one speaker.", show_default="SENSORY_STEREO"),
    ] = None,
    format: Annotated[Format, typer.Option("--format", help="How to print the result.")] = Format.JSON,  # noqa: A002
) -> None:
    """Process one file and print the result to standard output.

    More settings, mainly of Whisper, are environment variables: see .env.example. Exit code 1 if the recording
    cannot be processed, 2 for wrong use.
    """
    if file.is_dir():
        raise ConfigurationError(f"{file} is a folder: use sensory ingest")
    if not file.exists():
        raise ConfigurationError(f"the file {file} does not exist")
    settings = Settings()
    default = settings.request()
    with _explained():
        request = ProcessRequest(
            tasks=frozenset(Task) if tasks is None else _tasks(tasks),
            stereo=default.stereo if stereo is None else stereo,
            drop_doubtful=default.drop_doubtful,
            track=default.track,
            tra=TranscriptionSettings(
                **default.tra.model_dump()
                | _given(
                    language=language,
                    beam_size=beam_size,
                    translate=translate,
                    initial_prompt=initial_prompt,
                    hotwords=hotwords,
                )
            ),
            dia=DiarizationSettings(
                **_given(speakers=speakers, min_speakers=min_speakers, max_speakers=max_speakers)
                or default.dia.model_dump()
            ),
            emo=EmotionSettings(level=emo_level or default.emo.level),
        )
    fetch_with_progress([engine_choice(settings, stereo=request.stereo)])
    # one process for all stages, as one follows the other
    alone = settings.model_copy(update={"workers": 1, "side_by_side": False})
    with shared_engines(alone) as (executor, sets):
        result = process_file(
            file,
            request,
            sets[int(request.stereo)],
            max_audio_hours=settings.max_audio_hours,
            executor=executor,
            recording_timeout_s=settings.recording_timeout_s,
        )
    if result.audio.damage:
        errors.print(f"damaged: {result.audio.damage}", soft_wrap=True)
    for remark in result.audio.remarks:
        errors.print(remark, soft_wrap=True)
    rendered = (json if format is Format.JSON else text).render(result, request.tasks)
    if not rendered:
        errors.print("no speech was found")
        return
    with reader_may_leave():
        typer.echo(rendered)


def _tasks(names: str) -> frozenset[Task]:
    try:
        tasks = frozenset(Task(name.strip()) for name in names.split(",") if name.strip())
    except ValueError as error:
        raise ConfigurationError(f"--tasks: {error}: choose from {', '.join(Task)}") from error
    if not tasks:
        raise ConfigurationError(f"--tasks is empty: choose from {', '.join(Task)}")
    return tasks


def _given(**options: object) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        raise ConfigurationError(problems(error, lambda field: f"--{field.replace('_', '-')}")) from error
