"""The settings of a command and those of its lake: says where they differ, and asks before work is done again."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from sensory_pipeline.cli.console import counted, errors, length
from sensory_pipeline.cli.models import fetch_with_progress
from sensory_pipeline.core.errors import LakeMismatch
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.effective_settings import changed, keep, redone
from sensory_pipeline.processing.setup import choices, current_plans
from sensory_pipeline.settings import Settings, dagster_home

RedoOption = Annotated[
    bool,
    typer.Option(
        "--redo", help="Give the lake other settings without asking, and process again what they change in its results."
    ),
]


def agree(lake: Lake, settings: Settings, *, redo: bool) -> None:
    """Make the settings those of the lake; ask first if recordings would be processed again, unless `redo`.

    Raises:
        LakeMismatch: There is no terminal on which to ask.
        typer.Abort: The answer is no.
    """
    if differing := changed(lake, settings):
        show(differing)
        fetch_with_progress(choices(settings))  # results are distinguished by their revisions
        again = redone(lake, current_plans(settings))
        if again:
            confirm(lake, again, differing, redo=redo)
    keep(lake, settings)


def confirm(lake: Lake, again: Collection[str], differing: Iterable[str], *, redo: bool) -> None:
    """Say what would be processed again, and ask, unless `redo`. Raises the errors of `agree`."""
    from sensory_pipeline.lake.durations import audio_hours  # DuckDB, which a command that agrees does not need

    number = counted(len(again), "recording")
    effect = f"{number} of the lake would be processed again{effort(lake.root, audio_hours(lake, again))}"
    errors.print(effect, soft_wrap=True)
    if redo:
        return
    if not sys.stdin.isatty():
        raise LakeMismatch(
            f"the settings differ from those of {lake.root} and nothing was changed: give --redo to process the "
            f"recordings again, or unset {', '.join(differing)}"
        )
    typer.confirm("Give the lake these settings?", abort=True, err=True)


def show(differing: Mapping[str, tuple[object, object]]) -> None:
    """Print the settings that differ to standard error."""
    table = Table(*(Column(name, overflow="fold") for name in ("setting", "of the lake", "given")))
    for name, (was, given) in differing.items():
        table.add_row(name, written(was), written(given))
    errors.print(table)


def effort(root: Path, hours: float) -> str:
    """Return the hours of audio as text, and how long they take at the pace of the last runs, if there were any."""
    if not hours:
        return ""
    audio = f": {length(hours)} of audio"
    home = dagster_home(root)
    if not (home / "dagster.yaml").exists():
        return audio
    # imported late: Dagster takes two seconds
    from sensory_pipeline.automation.measured_speed import real_time_factor

    factor = real_time_factor(home)
    if factor is None:
        return audio
    took = timedelta(seconds=max(1, round(hours * 3600 * factor)))
    return f"{audio}, about {took} at the pace of the last runs"


def written(value: object) -> str:
    """Return a JSON value as text."""
    match value:
        case None | [] | ():
            return "unset"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case list():
            return ", ".join(map(written, value))
        case Mapping() if value.keys() == {"uri"}:
            return str(value["uri"])
        case Mapping():
            return f"{value['uri']} ({', '.join(f'{k}: {written(v)}' for k, v in value.items() if k != 'uri')})"
        case _:
            return str(value)
