"""`sensory call`: one file through a service that runs, here or elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from stamina.instrumentation import set_on_retry_hooks

from sensory_pipeline.cli.console import errors, reader_may_leave
from sensory_pipeline.cli.formats import Format
from sensory_pipeline.cli.tasks import TasksOption, tasks_of
from sensory_pipeline.client import AudioClient, JobFailed, LiveMessage, Result, ServiceError, StreamingClient
from sensory_pipeline.client.calls import Options
from sensory_pipeline.client.results import Emotion, Word
from sensory_pipeline.client.streaming import CHUNK_S, paced, wave_chunks
from sensory_pipeline.client.uploads import Progress as UploadProgress
from sensory_pipeline.core.errors import ConfigurationError, Terminal
from sensory_pipeline.core.formats.text import line
from sensory_pipeline.core.process_request import EmotionLevel, Task
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.transcripts import Word as SpokenWord
from sensory_pipeline.core.utterances import AttributedWord, Utterance, utterances
from sensory_pipeline.service_settings import ServiceSettings

_RATE = 16_000
_RECORDING_IS_AT_FAULT = frozenset({400, 413, 415, 500})


class Refused(Terminal):
    """The service cannot do it with this recording."""


class NotServed(ConfigurationError):
    """The service is not there, or does not do what is asked."""


def call(
    file: Annotated[Path, typer.Argument(help="The recording, in any format.")],
    url: Annotated[str, typer.Option("--url", help="Address of the service.")] = "http://127.0.0.1:8001",
    tasks: TasksOption = None,
    emo_level: Annotated[
        EmotionLevel | None, typer.Option("--emo-level", help="Level of the emotions.", show_default="the service's")
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="ISO 639-1 code, or auto.", show_default="the service's")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Send the file at the speed of speech, and print words when they are final.")
    ] = False,
    background: Annotated[
        bool, typer.Option("--background", help="Run as a job that outlives the connection, and wait for its result.")
    ] = False,
    format: Annotated[Format, typer.Option("--format", help="How to print the result.")] = Format.JSON,  # noqa: A002
) -> None:
    """Process one file with a running service, and print the result to standard output.

    If the service requires a key, set SENSORY_CLIENT_KEY. With --live, JSON is one object per line. Exit code 1 if the
    recording cannot be processed, 2 for wrong use.
    """
    if not file.is_file():
        raise ConfigurationError(f"the file {file} does not exist")
    secret = ServiceSettings().client_key
    key = None if secret is None else secret.get_secret_value()
    set_on_retry_hooks([])  # the final error says enough, and structlog would write to standard output
    options = _options(tasks, emo_level, language, live=live)
    with _explained(), reader_may_leave():
        if live:
            for message in StreamingClient(url, key=key).stream(paced(_chunks(file), _RATE), **options):
                _show(message, format)
            return
        with AudioClient(url, key=key, attempts=3) as client, _shown() as progress:
            result = client.process(file, background=background, progress=progress, **options)
        rendered = json.dumps(dict(result), ensure_ascii=False, indent=2) if format is Format.JSON else _text(result)
        if rendered:
            typer.echo(rendered)
        else:
            errors.print("no speech was found")


def _options(tasks: str | None, emo_level: EmotionLevel | None, language: str | None, *, live: bool) -> Options:
    default = (Task.TRANSCRIBE,) if live else tuple(Task)
    chosen = default if tasks is None else tasks_of(tasks)
    options: dict[str, Any] = {"tasks": [str(task) for task in chosen]}
    if emo_level is not None:
        options["emo_level"] = str(emo_level)
    if language is not None:
        options["language"] = language
    return cast(Options, options)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except ServiceError as error:
        at_fault = isinstance(error, JobFailed) or error.status in _RECORDING_IS_AT_FAULT
        raise (Refused if at_fault else NotServed)(error.detail) from error


@contextmanager
def _shown() -> Iterator[UploadProgress]:
    """The upload, where there is a terminal."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("sending", total=None)
        yield lambda sent, size: bar.update(task, completed=sent, total=size)


def _chunks(file: Path) -> Iterator[bytes]:
    """As the stream needs it; files of any format if FFmpeg is installed."""
    try:
        yield from wave_chunks(file, _RATE)
    except ValueError as error:
        try:
            from sensory_pipeline.audio.decoding import decode
        except ImportError:
            raise ConfigurationError(
                f"{error}, or install what decodes it: pip install 'sensory-pipeline[engines]'"
            ) from error
        sound = decode(file, max_duration_s=12 * 3600).pcm.samples.tobytes()
        step = round(_RATE * CHUNK_S) * 2
        for start in range(0, len(sound), step):
            yield sound[start : start + step]


def _show(message: LiveMessage, wanted: Format) -> None:
    if wanted is Format.JSON:
        typer.echo(json.dumps(dict(message), ensure_ascii=False))
    elif message.error:
        errors.print(message.error, soft_wrap=True)
    elif message.emotion is not None:
        typer.echo(line(_span(message.emotion), message.emotion.label))
    elif message.words:
        typer.echo(line(Span.from_seconds(message["start"], message["end"]), message.text))


def _text(result: Result) -> str:
    """A line for each utterance, else for each turn or emotion; as `sensory process` prints them."""
    said = utterances([_attributed(word) for word in result.words])
    if said:
        return "\n".join(
            line(one.span, one.text, one.speaker or ("unknown" if result.get("dia") else ""), _how(one, result))
            for one in said
        )
    turns = [line(Span.from_seconds(turn.start, turn.end), turn.speaker) for turn in result.turns]
    return "\n".join(turns or [line(_span(emotion), emotion.label) for emotion in result.emotions])


def _how(said: Utterance, result: Result) -> str:
    """What covers most of it."""
    nearest = max(result.emotions, key=lambda emotion: _span(emotion).overlap_ms(said.span), default=None)
    return f"({nearest.label})" if nearest else ""


def _attributed(word: Word) -> AttributedWord:
    span = Span.from_seconds(word.start, word.end)
    spoken = SpokenWord(text=word.text, span=span, probability=word.confidence)
    return AttributedWord(
        word=spoken, spoken=span, speaker=word.speaker, overlap_share=1, runner_up=None, overlapped=False
    )


def _span(emotion: Emotion) -> Span:
    return Span.from_seconds(emotion.start, emotion.end)
