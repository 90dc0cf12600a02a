"""`sensory forget`: a recording out of the lake, for good."""

from __future__ import annotations

from typing import Annotated

import typer

from sensory_pipeline.cli.console import counted, errors
from sensory_pipeline.cli.sql import LakeOption
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.removal import forget as remove
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage.sources import uri_of


def forget(
    recordings: Annotated[list[str], typer.Argument(help="Uris from the table `recordings`, or paths.")],
    lake: LakeOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Remove recordings from the lake: from all tables, stage results, decoded audio and the ledger.

    Does not change the source; later ingests skip these recordings. A query that runs at the same time may fail.
    Dagster's logs, which may name a recording, are kept as long as its runs.
    """
    settings = Settings()
    opened = Lake.open(lake or settings.lake, ledger=settings.ledger)
    if not yes:
        number = counted(len(recordings), "recording")
        typer.confirm(f"Remove {number} from {opened.root} for good?", abort=True, err=True)
    unknown = [recording for recording in recordings if not remove(opened, uri_of(recording))]
    errors.print(f"{counted(len(recordings) - len(unknown), 'recording')} removed", soft_wrap=True)
    if unknown:
        raise ConfigurationError(f"{opened.root} has no {', no '.join(unknown)}: give uris from the table `recordings`")
