""".env.example: every setting with its meaning and its default, from the settings classes."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator

from sensory_pipeline.core.sources import RecordingSettings
from sensory_pipeline.env_file import Variables
from sensory_pipeline.service_settings import ServiceSettings
from sensory_pipeline.settings import Settings

_HEAD = """# Copy this file to .env and change what you need; every line shows the default. Variables of the environment
# win. `.env` is read from the folder that the command is started in; `sensory doctor` shows which. Lists and what
# has blanks are written as here; what is empty is unset; "none" switches off a threshold. Written by `make docs`.
"""
_WIDTH = 110


def example() -> str:
    """Return the text of the file."""
    everywhere = [name for name in Settings.model_fields if name in RecordingSettings.model_fields]
    installation = [name for name in Settings.model_fields if name not in RecordingSettings.model_fields]
    return "".join(
        [
            _HEAD,
            *_section("This installation", Settings, installation),
            *_section("Every recording; may differ from source to source (docs/sources.md)", Settings, everywhere),
            *_section("The service alone (sensory serve)", ServiceSettings, ServiceSettings.model_fields),
        ]
    )


def _section(title: str, settings: type[Variables], names: Iterable[str]) -> Iterator[str]:
    yield f"\n### {title}\n"
    for name in names:
        field = settings.model_fields[name]
        about = textwrap.wrap(field.description or "", _WIDTH, initial_indent="# ", subsequent_indent="# ")
        yield "\n".join(["", *about, f"{settings.variable(name)}={_written(field.default)}", ""])


def _written(default: object) -> str:
    match default:
        case None:
            return ""
        case bool():
            return str(default).lower()
        case tuple() | frozenset():
            return json.dumps(list(default), separators=(",", ":"))
        case _:
            text = str(default).removesuffix(".0")
            return f'"{text}"' if " " in text else text
