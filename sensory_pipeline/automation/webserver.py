"""Dagster's UI behind a check of the origin of requests: `python -m sensory_pipeline.automation.webserver`.

It does the same as `dagster-webserver`, with one middleware. A proxy would have to forward WebSockets too, and would
leave the webserver itself unprotected on a port.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import dagster as dg
import uvicorn
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.applications import Starlette

from sensory_pipeline.automation.same_origin import SameOrigin
from sensory_pipeline.core.log_lines import configure
from sensory_pipeline.dagster_internals import workspace_context


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    options = argparse.ArgumentParser()
    options.add_argument("--host", required=True)
    options.add_argument("--port", required=True, type=int)
    options.add_argument("--workspace", required=True, type=Path)
    options.add_argument("--log-level", required=True)
    given = options.parse_args()
    configure(given.log_level.upper())
    with dg.DagsterInstance.get() as instance, workspace_context(instance, given.workspace) as context:
        app: Starlette = create_app_from_workspace_process_context(context, lifespan=_lifespan)
        names = {given.host, socket.gethostname(), socket.getfqdn()}
        app.add_middleware(SameOrigin, names=names)
        uvicorn.run(app, host=given.host, port=given.port, log_level=given.log_level)


@asynccontextmanager
async def _lifespan(_: Starlette) -> AsyncIterator[None]:
    with suppress(asyncio.CancelledError):  # uvicorn raises it here when it is interrupted
        yield


if __name__ == "__main__":
    main()
