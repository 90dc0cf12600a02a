"""The settings that a command is given, and those of the lake that it works on: what holds, and where they differ.

The environment and `.env` come first, then what the lake keeps, then the defaults. So a lake is worked on alike from
every folder, and settings that would replace its results are noticed before they do.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sensory_pipeline.core.errors import LakeMismatch
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.lake import own_settings
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.ledger_comparison import stale
from sensory_pipeline.lake_settings import ONE_CHOICE, LakeSettings
from sensory_pipeline.processing.plans import Plans
from sensory_pipeline.processing.setup import current_plans, engine_name
from sensory_pipeline.settings import Settings

_MODELS = ("whisper_model_size", "default_model_name", "pyannote_model", "gigaam_model_name")


def in_force(given: Settings) -> Settings:
    """Return the settings as given, with those of the lake that they name where nothing is given.

    Raises:
        LakeMismatch: The folder is not a lake that can be opened.
        ConfigurationError: The settings of the lake cannot be read.
    """
    if not (given.lake / "lake.json").exists():
        return given
    lake = Lake.open(given.lake, ledger=given.ledger)
    kept = own_settings.read(lake.root)
    own: dict[str, Any] = {"shards": lake.shards, "start_date": lake.start_date}
    if kept is not None:
        own |= {name: getattr(kept, name) for name in LakeSettings.model_fields}
    fixed = given.model_fields_set.union(*(group for group in ONE_CHOICE if group & given.model_fields_set))
    return given.model_copy(update={name: value for name, value in own.items() if name not in fixed})


def to_keep(settings: Settings) -> LakeSettings:
    """Return what a lake keeps of settings: engines by name, and paths that hold in every folder."""
    own = {name: getattr(settings, name) for name in LakeSettings.model_fields}
    own |= {
        "stt": engine_name(settings, Stage.TRANSCRIPTS),
        "diarization": engine_name(settings, Stage.DIARIZATION),
        "emotion": engine_name(settings, Stage.EMOTIONS),
    }
    own |= {name: _anywhere(own[name]) for name in _MODELS}
    own["sources"] = tuple(
        source.model_copy(
            update={"uri": source.uri if "://" in source.uri else str(Path(source.uri).absolute())}
            | {name: _anywhere(getattr(source, name)) for name in source.model_fields_set.intersection(_MODELS)}
        )
        for source in settings.sources
    )
    return LakeSettings.model_validate(own, by_name=True)


def changed(lake: Lake, settings: Settings) -> Mapping[str, tuple[object, object]]:
    """Return the differing settings by variable: the value of the lake, and that in force.

    A lake that keeps no settings yet differs in nothing.
    """
    kept = own_settings.read(lake.root)
    return own_settings.differences(kept, to_keep(settings)) if kept is not None else {}


def redone(lake: Lake, plans: Plans) -> list[str]:
    """Return the recording_ids of what would be processed again under these plans."""
    return stale(lake.database, lambda uri: plans.of(uri).fingerprint)


def keep(lake: Lake, settings: Settings) -> None:
    """Make these the settings of the lake."""
    wanted = to_keep(settings)
    if own_settings.read(lake.root) != wanted:
        own_settings.write(lake.root, wanted)


def unattended(lake: Lake, settings: Settings) -> None:
    """Keep the settings where nobody can be asked.

    Raises:
        LakeMismatch: Recordings would be processed again.
    """
    differing = changed(lake, settings)
    if differing and (again := redone(lake, current_plans(settings))):
        raise LakeMismatch(
            f"the settings given differ from those of {lake.root} in {', '.join(differing)}, and {len(again)} "
            "recordings would be processed again: unset them, or confirm them with `sensory configure --lake "
            f"{lake.root} NAME=VALUE`"
        )
    keep(lake, settings)


def _anywhere(model: str | None) -> str | None:
    """Return the name of a model as it is, and the path of one as an absolute path."""
    path = Path(model).expanduser() if model else None
    return str(path.absolute()) if path is not None and path.exists() else model
