"""settings.json: the settings that shape the results of a lake, by the names of their variables.

Unlike lake.json it may change: when a user confirms that recordings are processed again under other settings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.lake_settings import LakeSettings
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage.files import write_text_atomically

FILE = "settings.json"


def read(root: Path) -> LakeSettings | None:
    """Return the settings of the lake in a folder; None before its first ingest, and in a lake of an older version.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    path = root / FILE
    try:
        return parsed(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, AttributeError) as error:  # pydantic's are ValueErrors
        raise ConfigurationError(
            f"{path} cannot be read: {' '.join(str(error).split())}; put it back from a backup, or remove it: the next "
            "ingest then makes it from the settings that it is given"
        ) from error


def write(root: Path, settings: LakeSettings) -> None:
    """Make these the settings of the lake in a folder."""
    write_text_atomically(root / FILE, json.dumps(values(settings), indent=1, ensure_ascii=False) + "\n")


def parsed(found: Mapping[str, object]) -> LakeSettings:
    """Return the settings from their values by variable; missing ones have their defaults.

    Raises:
        ValidationError: A value is wrong.
    """
    variables = {Settings.variable(name): name for name in LakeSettings.model_fields}
    known = {variables[variable]: value for variable, value in found.items() if variable in variables}
    return LakeSettings.model_validate(known, by_name=True)


def values(settings: LakeSettings) -> dict[str, object]:
    """Return the settings by variable, as JSON values."""
    plain = settings.model_dump(mode="json", include=set(LakeSettings.model_fields))
    # of a source what it gives: what it does not give is as everywhere
    plain["sources"] = [source.model_dump(mode="json", exclude_unset=True) for source in settings.sources]
    return {Settings.variable(name): plain[name] for name in LakeSettings.model_fields}


def differences(old: LakeSettings, new: LakeSettings) -> dict[str, tuple[object, object]]:
    """Return the old and the new value of each setting that differs, by variable."""
    was, is_now = values(old), values(new)
    return {name: (was[name], value) for name, value in is_now.items() if was[name] != value}
