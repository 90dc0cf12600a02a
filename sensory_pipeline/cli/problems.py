"""What is wrong with a setting or an option, in words of the person who gave it."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import get_args

from pydantic import SecretStr, ValidationError
from pydantic_settings import SettingsError

from sensory_pipeline.service_settings import ServiceSettings
from sensory_pipeline.settings import Settings, given_variables

_NAMES = (*Settings.names(), *ServiceSettings.names())
_FIELDS = Settings.model_fields | ServiceSettings.model_fields


def problems(error: ValidationError, named: Callable[[str], str]) -> str:
    """One line for each value that was refused. named: what the user calls a field."""
    lines = []
    for detail in error.errors(include_url=False):
        wanted = detail["msg"].removeprefix("Value error, ").partition(", unable to")[0]
        if detail["type"] in ("literal_error", "enum"):
            wanted = f"use {detail['ctx']['expected']}"
        if detail["type"] == "extra_forbidden":
            wanted = "there is no such setting"
        wanted = wanted.replace("Input should", "it should")
        # a rule about several fields has no place, and its input would be all of them
        field, *inside = detail["loc"] or ("",)
        known = bool(field) and not _secret(str(field))
        place = named(str(field)) + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in inside)
        lines.append(f"{place} is {detail['input']!r}: {wanted}" if known else wanted)
    return "\n".join(lines)


def setting_problems(error: ValidationError | SettingsError) -> str:
    """What is wrong with the settings, by their variables."""
    if isinstance(error, ValidationError):
        return problems(error, variable)
    found = re.search(r'field "(\w+)"', str(error))
    return f"{variable(found[1])} is no JSON: see .env.example" if found else str(error)


def unknown_settings() -> list[str]:
    """A warning for each variable that looks like a setting and is none."""
    warnings = []
    for name in sorted(given_variables().difference(_NAMES)):
        close = get_close_matches(name, _NAMES, n=1)
        warnings.append(f"there is no setting {name}" + (f": did you mean {close[0]}?" if close else ""))
    return warnings


def variable(place: str) -> str:
    """Of a field, by its name; pydantic calls those with a name of their own by that."""
    owner = next((settings for settings in (Settings, ServiceSettings) if place in settings.model_fields), None)
    return place if owner is None else owner.variable(place)


def _secret(place: str) -> bool:
    return any(
        place in (name, field.validation_alias) and SecretStr in get_args(field.annotation)
        for name, field in _FIELDS.items()
    )
