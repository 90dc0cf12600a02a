"""`sensory models`: get models before they are needed, and see what the settings use."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from sensory_pipeline.cli.console import errors, output
from sensory_pipeline.processing.models import EXAMPLES, fetch
from sensory_pipeline.processing.setup import engine_choice
from sensory_pipeline.settings import Settings

models = typer.Typer(
    no_args_is_help=True,
    help="Get models before they are needed, as for a machine without a network, and see which the settings use.\n\n"
    "The engines that need no models (pocketsphinx, offline, prosody) are not concerned.",
)


@models.command(name="fetch")
def fetch_model(
    name: Annotated[str, typer.Argument(help=f"ENGINE:MODEL, e.g. {', '.join(EXAMPLES)}.")],
) -> None:
    """Download a model unless it is here already, and say where it lies."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task(f"fetching {name}", total=None)
        found = fetch(
            name,
            token=Settings().pyannote_auth_token,
            progress=lambda come, whole: bar.update(task, completed=come, total=whole),
        )
    output.print(f"{found.engine}: {found.model}, revision {found.revision}", soft_wrap=True)


@models.command(name="list")
def list_models() -> None:
    """Show the models that the settings choose, by name, as they would be fetched."""
    choice = engine_choice(Settings())
    table = Table("task", "engine", "model")
    table.add_row("transcription", choice.stt, choice.whisper_model if choice.stt == "whisper" else "none needed")
    table.add_row(
        "diarization", choice.diarization, choice.pyannote_model if choice.diarization == "pyannote" else "none needed"
    )
    table.add_row("emotion", choice.emotion, choice.gigaam_model if choice.emotion == "gigaam" else "none needed")
    output.print(table)
