"""`sensory forget`: a recording out of the lake, for good."""

from __future__ import annotations

import sys
from itertools import islice
from typing import Annotated

import typer

from sensory_pipeline.cli.console import counted, errors
from sensory_pipeline.cli.lake_option import LakeOption
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.removal import below
from sensory_pipeline.lake.removal import forget as remove
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage.sources import prefix_below, uri_of

MOST_SHOWN = 20
"""Recordings that are listed before they are removed."""


def forget(
    recordings: Annotated[
        list[str],
        typer.Argument(help="Uris from the table `recordings`, or paths; a folder means all below it."),
    ],
    lake: LakeOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Remove recordings from the lake: from all tables, stage results, decoded audio and the ledger.

    Lists them and asks first. Does not change the source; later ingests skip these recordings. A query that runs at the
    same time may fail. Dagster's logs, which may name a recording, are kept as long as its runs.
    """
    settings = Settings()
    opened = Lake.open(lake or settings.lake, ledger=settings.ledger)
    # one that is not found below anything is the recording itself, which may have been removed before
    chosen = {uri: place for place in recordings for uri in below(opened, prefix_below(place)) or [uri_of(place)]}
    if not yes:
        for uri in islice(chosen, MOST_SHOWN):
            errors.print(f"  {uri}", soft_wrap=True)
        if len(chosen) > MOST_SHOWN:
            errors.print(f"  and {len(chosen) - MOST_SHOWN} more")
        number = counted(len(chosen), "recording")
        _confirm(f"Remove {number} from {opened.root} for good?")
    unknown = [place for uri, place in chosen.items() if not remove(opened, uri)]
    errors.print(f"{counted(len(chosen) - len(unknown), 'recording')} removed", soft_wrap=True)
    if unknown:
        raise ConfigurationError(
            f"{opened.root} has no {', no '.join(unknown)}: give paths, or uris from the table `recordings`"
        )


def _confirm(question: str) -> None:
    """Ask; raise Abort if the answer is no, and ConfigurationError if there is neither an answer nor a terminal."""
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:  # the input ended, or Ctrl-C
        if sys.stdin.isatty():
            raise
        errors.print()  # ends the line of the question
        raise ConfigurationError(
            "nobody answered and nothing was removed: give --yes to remove without asking"
        ) from None
    if not agreed:
        raise typer.Abort
