"""`sensory process`: some recordings, here and now, without Dagster and without a lake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from sensory_pipeline.cli.console import counted, errors, reader_may_leave
from sensory_pipeline.cli.exit_codes import ExitCode
from sensory_pipeline.cli.formats import Format
from sensory_pipeline.cli.models import fetch_with_progress
from sensory_pipeline.cli.problems import problems
from sensory_pipeline.cli.tasks import TasksOption, tasks_of
from sensory_pipeline.core.errors import ConfigurationError, Terminal, Transient
from sensory_pipeline.core.formats import json, text
from sensory_pipeline.core.process_request import (
    DiarizationSettings,
    EmotionLevel,
    EmotionSettings,
    ProcessRequest,
    Task,
    TranscriptionSettings,
)
from sensory_pipeline.engines.device_discovery import run_devices
from sensory_pipeline.processing.setup import engine_choice, shared_engines
from sensory_pipeline.processing.single_file import process_file
from sensory_pipeline.settings import Settings, visible_devices
from sensory_pipeline.storage.files import write_text_atomically
from sensory_pipeline.storage.local import path_of
from sensory_pipeline.storage.s3_access import S3Access
from sensory_pipeline.storage.sources import uri_of


def process(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Recordings in any format: paths, or s3://bucket/key.")
    ],
    tasks: TasksOption = None,
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
    folder: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the results, as NAME.json or NAME.txt; required for several."),
    ] = None,
) -> None:
    """Process recordings and print the result to standard output, or write the results into a folder.

    A bad recording does not stop the others. More settings, mainly of Whisper, are environment variables: see
    .env.example. Exit code 1 if a recording cannot be processed, 2 for wrong use.
    """
    places = _places(files, folder, format)
    settings = Settings()
    default = settings.request()
    with _explained():
        request = ProcessRequest(
            tasks=frozenset(Task) if tasks is None else frozenset(tasks_of(tasks)),
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
    device = run_devices(settings.devices, visible_devices())[0].name
    alone = settings.model_copy(update={"workers": 1, "side_by_side": False, "devices": device})
    failed = 0
    with shared_engines(alone) as (executor, sets), _shown(len(files)) as begin:
        for file, place in places.items():
            begin(file)
            try:
                result = process_file(
                    file,
                    request,
                    sets[int(request.stereo)],
                    max_audio_hours=settings.max_audio_hours,
                    access=S3Access.of(settings),
                    executor=executor,
                    recording_timeout_s=settings.recording_timeout_s,
                )
            except (Terminal, Transient) as error:
                if len(places) == 1:
                    raise
                failed += 1
                errors.print(f"{file}: {error}", style="red", soft_wrap=True)
                continue
            head = f"{file}: " if len(places) > 1 else ""
            for remark in (f"damaged: {result.audio.damage}" if result.audio.damage else "", *result.audio.remarks):
                if remark:
                    errors.print(f"{head}{remark}", soft_wrap=True)
            rendered = (json if format is Format.JSON else text).render(result, request.tasks)
            if not rendered:
                errors.print(f"{head}no speech was found", soft_wrap=True)
            if place is not None:
                write_text_atomically(place, f"{rendered}\n" if rendered else "")
            elif rendered:
                with reader_may_leave():
                    typer.echo(rendered)
    if failed:
        errors.print(f"{failed} of {counted(len(places), 'recording')} failed")
        raise typer.Exit(ExitCode.FAILED)


def _places(files: list[str], folder: Path | None, form: Format) -> dict[str, Path | None]:
    """Where the result of each recording goes; None for standard output."""
    for file in files:
        if file.startswith("s3://"):
            continue
        if Path(file).is_dir():
            raise ConfigurationError(f"{file} is a folder: use sensory ingest")
        if not Path(file).exists():
            raise ConfigurationError(f"the file {file} does not exist")
    if folder is None:
        if len(files) > 1:
            raise ConfigurationError("several recordings need a folder for their results: give -o FOLDER")
        return dict.fromkeys(files)
    suffix = "json" if form is Format.JSON else "txt"
    places: dict[str, Path | None] = {file: folder / f"{path_of(uri_of(file)).name}.{suffix}" for file in files}
    if twice := [place for place, count in Counter(places.values()).items() if count > 1]:
        raise ConfigurationError(f"several recordings would be written to {twice[0]}: give each folder by itself")
    return places


@contextmanager
def _shown(recordings: int) -> Iterator[Callable[[str], None]]:
    """The progress over several recordings, where there is a terminal."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    shown = recordings > 1 and errors.is_terminal
    with Progress(*columns, console=errors, transient=True, disable=not shown) as bar:
        task = bar.add_task("starting", total=recordings)
        begun = count()
        yield lambda file: bar.update(task, completed=next(begun), description=file)


def _given(**options: object) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        raise ConfigurationError(problems(error, lambda field: f"--{field.replace('_', '-')}")) from error
