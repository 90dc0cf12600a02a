"""Dagster's UI behind a check of who asks: `python -m sensory_pipeline.automation.webserver`.

What `dagster-webserver` does, with one layer around its application; a proxy in front would have to carry its
WebSockets as well, and leave the webserver itself open on a port.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import dagster as dg
import uvicorn
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.applications import Starlette

from sensory_pipeline.automation.same_origin import SameOrigin
from sensory_pipeline.dagster_internals import workspace_context


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    options = argparse.ArgumentParser()
    options.add_argument("--host", required=True)
    options.add_argument("--port", required=True, type=int)
    options.add_argument("--workspace", required=True, type=Path)
    given = options.parse_args()
    logging.getLogger("dagster").setLevel(logging.WARNING)
    with dg.DagsterInstance.get() as instance, workspace_context(instance, given.workspace) as context:
        app: Starlette = create_app_from_workspace_process_context(context, lifespan=_lifespan)
        names = {given.host, socket.gethostname(), socket.getfqdn()}
        app.add_middleware(SameOrigin, names=names)
        uvicorn.run(app, host=given.host, port=given.port, log_level="warning")


@asynccontextmanager
async def _lifespan(_: Starlette) -> AsyncIterator[None]:
    with suppress(asyncio.CancelledError):  # which uvicorn raises here when it is interrupted
        yield


if __name__ == "__main__":
    main()
