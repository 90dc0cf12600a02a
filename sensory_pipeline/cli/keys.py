"""`sensory keys`: who may use the service."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from sensory_pipeline.cli.console import errors, output
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.gateway.keys import digest, new_key
from sensory_pipeline.service_settings import OWNER

keys = typer.Typer(
    name="keys",
    add_completion=False,
    no_args_is_help=True,
    help="Create keys for users of the service. The service knows only their digests, in SENSORY_API_KEYS.",
)


@keys.callback()
def _keys() -> None:
    """With a callback, the one command keeps its name."""


@keys.command(name="new")
def new(
    owner: Annotated[str, typer.Argument(help="Name of the user: shown in the log, and owner of the key's jobs.")],
) -> None:
    """Print a new key, and what to add to SENSORY_API_KEYS."""
    if not re.fullmatch(OWNER, owner):
        raise ConfigurationError("the name may contain only letters, digits, -, _ and ., at most 64 characters")
    key = new_key()
    errors.print("the key, sent as `Authorization: Bearer KEY`; it is shown only once:")
    output.print(key, soft_wrap=True)
    errors.print(f"add to SENSORY_API_KEYS, after a comma: {owner}={digest(key)}", soft_wrap=True)
