"""`sensory dev`: Dagster's UI and daemon on the lake's own instance."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from sensory_pipeline.automation.instance import prepare_home
from sensory_pipeline.cli.console import errors
from sensory_pipeline.cli.sql import LakeOption
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.settings import Settings, dagster_home, environment_with


def dev(
    lake: LakeOption = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on.")] = 3000,
) -> None:
    """Start Dagster's UI and daemon for a lake, with all its runs so far. Ctrl-C ends both."""
    settings = Settings()
    root = (lake or settings.lake).resolve()
    # a lake knows its shards, so that nobody has to repeat them to look at it
    shards = (Lake.open(root) if (root / "lake.json").exists() else Lake.create(root, shards=settings.shards)).shards
    home = prepare_home(dagster_home() or root / ".dagster")
    errors.print(f"lake {root}, Dagster's UI at http://{host}:{port} (Ctrl-C to stop)", soft_wrap=True)
    command = [sys.executable, "-m", "dagster", "dev", "-m", "sensory_pipeline.definitions"]
    os.execve(  # noqa: S606 - it takes our place, so that Ctrl-C and kill reach it
        sys.executable,
        [*command, "--host", host, "--port", str(port)],
        environment_with(DAGSTER_HOME=str(home), SENSORY_LAKE=str(root), SENSORY_SHARDS=str(shards)),
    )
