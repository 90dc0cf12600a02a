"""Which lake a command works on, and the settings that follow from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.settings import Settings

LakeOption = Annotated[
    Path | None, typer.Option("--lake", help="Folder of the lake.", show_default="SENSORY_LAKE, else lake")
]
KeptSettingsOption = Annotated[
    Path | None,
    typer.Option("--lake", help="A lake, to go by the settings that it keeps.", show_default="SENSORY_LAKE"),
]
"""Of commands that need no lake."""


def settings_of(lake: Path | None) -> Settings:
    """Return the settings of the environment and `.env`, and of the lake where they say nothing.

    Args:
        lake: The lake of the option; None for that of the settings.
    """
    from sensory_pipeline.processing.effective_settings import in_force  # and with it the engines, which sql needs not

    given = Settings()
    return in_force(given if lake is None else given.model_copy(update={"lake": lake}))


def settings_if_named(lake: Path | None) -> Settings:
    """Return the same, but without a lake that nobody has named: neither the option nor SENSORY_LAKE.

    Args:
        lake: The lake of the option.

    Raises:
        LakeMismatch: The folder of the option is not a lake.
    """
    given = Settings()
    if lake is not None:
        Lake.open(lake, ledger=given.ledger)
    return settings_of(lake) if lake is not None or "lake" in given.model_fields_set else given
