"""`sensory configure`: the settings that a lake keeps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.table import Column, Table

from sensory_pipeline.cli.console import errors, output, reader_may_leave
from sensory_pipeline.cli.lake_option import LakeOption, settings_of
from sensory_pipeline.cli.problems import problems, variable
from sensory_pipeline.cli.settings_prompt import RedoOption, agree, written
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.lake import own_settings
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake_settings import ONE_CHOICE, LakeSettings
from sensory_pipeline.processing.effective_settings import keep, to_keep
from sensory_pipeline.settings import Settings

_FIELDS = {Settings.variable(name): name for name in LakeSettings.model_fields}


def configure(
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME=VALUE", help="Settings to change.", show_default="show all"),
    ] = None,
    lake: LakeOption = None,
    unset: Annotated[
        list[str] | None, typer.Option("--unset", metavar="NAME", help="A setting to set back to its default.")
    ] = None,
    redo: RedoOption = False,
) -> None:
    """Show the settings that a lake keeps, or change them. They hold where the environment and .env say nothing.

    A lake keeps the settings that shape its results: engines, models, languages, speakers and sources. If a change
    means that recordings are processed again, the command says how many and asks; the next ingest does the work.
    """
    settings = Settings()
    opened = Lake.open(lake or settings.lake, ledger=settings.ledger)
    kept = own_settings.read(opened.root)
    if not (changes or unset):
        _show(opened, kept)
        return
    asked = _asked(changes or (), unset or ())
    in_force = settings_of(lake)
    if kept is None:  # so that there is something to differ from
        keep(opened, in_force)
        kept = to_keep(in_force)
    wanted = _changed(kept, asked)
    agree(opened, in_force.model_copy(update=dict(wanted)), redo=redo)
    errors.print(f"{opened.root} keeps {', '.join(asked)} as asked", soft_wrap=True)
    given = settings.model_fields_set.intersection(LakeSettings.model_fields)
    if hidden := [variable for variable, name in _FIELDS.items() if name in given]:
        errors.print(
            f"the environment or .env sets {', '.join(hidden)}, which comes before what the lake keeps", soft_wrap=True
        )


def _asked(changes: Iterable[str], unset: Iterable[str]) -> dict[str, str]:
    """By variable; empty for what is to be unset."""
    asked = dict.fromkeys(unset, "")
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise ConfigurationError(f"{change!r} has no value: write NAME=VALUE, or --unset NAME")
        asked[name] = value
    if unknown := asked.keys() - _FIELDS.keys():
        raise ConfigurationError(f"a lake does not keep {min(unknown)}: choose from {', '.join(_FIELDS)}")
    return asked


def _changed(kept: LakeSettings, asked: Mapping[str, str]) -> LakeSettings:
    """What belongs together with what is asked for is unset, as where the environment gives it."""
    values = own_settings.values(kept)
    fields = {_FIELDS[variable] for variable in asked}
    for name in fields.union(*(group for group in ONE_CHOICE if group & fields)):
        values.pop(Settings.variable(name), None)
    values |= {variable: _value(text) for variable, text in asked.items() if text}
    try:
        return own_settings.parsed(values)
    except ValidationError as error:
        raise ConfigurationError(problems(error, variable)) from error


def _value(text: str) -> object:
    """As the environment is read: lists are JSON, and none is no value."""
    if text.lower() == "none":
        return None
    try:
        return json.loads(text) if text.startswith("[") else text
    except ValueError:
        return text


def _show(lake: Lake, kept: LakeSettings | None) -> None:
    if kept is None:
        errors.print(f"{lake.root} keeps no settings yet: the next ingest makes it keep its own", soft_wrap=True)
        return
    default = own_settings.values(LakeSettings())
    table = Table(*(Column(name, overflow="fold") for name in ("setting", "of the lake", "default")))
    for name, value in own_settings.values(kept).items():
        table.add_row(name, written(value), "" if value == default[name] else written(default[name]))
    with reader_may_leave():
        output.print(table)
