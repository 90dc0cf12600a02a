"""`sensory serve`: recordings one by one, over HTTP, on the engines of the pipeline."""

from __future__ import annotations

import logging
from typing import Annotated

import typer
import uvicorn

from sensory_pipeline.cli.console import errors
from sensory_pipeline.cli.listening import listener, url
from sensory_pipeline.cli.models import fetch_with_progress
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.core.hosts import is_loopback
from sensory_pipeline.engines.device_discovery import run_devices
from sensory_pipeline.gateway import logs
from sensory_pipeline.gateway.app_factory import application
from sensory_pipeline.processing.setup import engine_choice
from sensory_pipeline.service_settings import ServiceSettings
from sensory_pipeline.settings import Settings, visible_devices

LARGEST_MESSAGE = 4 << 20
"""Bytes of a WebSocket's message above which uvicorn ends the connection, before the client can read why. The routes
refuse messages of more than 1 MiB, and say why."""
KEEP_ALIVE_S = 75
"""Seconds without a request until a connection is closed. Longer than clients keep one: they would send the next
request on a connection that is closed at that moment."""


def serve(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0: any free port.")] = 8001,
    devices: Annotated[
        str | None,
        typer.Option(
            "--devices",
            help="Devices of the engines, with processes on each: auto (every GPU, or the CPU), a number of GPUs, or "
            "names such as cuda:0,cuda:1.",
            show_default="SENSORY_DEVICES",
        ),
    ] = None,
) -> None:
    """Process single recordings over HTTP. Ctrl-C stops the service.

    Engines and settings are those of `sensory process`; .env.example lists them, and those of the service itself.
    / is a page for recordings and live speech, /docs shows the API. On an address that other machines can reach, keys
    are required: sensory keys new.
    """
    settings = Settings() if devices is None else Settings(devices=devices)
    service_settings = ServiceSettings()
    if not service_settings.api_keys and not is_loopback(host):
        raise ConfigurationError(
            f"other machines can reach {host}, and the service has no keys: create one with `sensory keys new` and set "
            "SENSORY_API_KEYS"
        )
    logs.configure(settings.log_level if "log_level" in settings.model_fields_set else "INFO")
    run_devices(settings.devices, visible_devices())  # refuses a wrong one before models are downloaded
    fetch_with_progress(engine_choice(settings, stereo=stereo) for stereo in (False, True))
    app = application(settings, service_settings)
    with listener(host, port) as listening:
        errors.print(f"{url(host, listening.getsockname()[1])}/ (Ctrl-C to stop)", soft_wrap=True)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=round(service_settings.stop_s),
            timeout_keep_alive=KEEP_ALIVE_S,
            ws_max_size=LARGEST_MESSAGE,
            server_header=False,
        )
        logging.getLogger("uvicorn.error").addFilter(lambda _: app.state.failure is None)
        uvicorn.Server(config).run(sockets=[listening])
    if app.state.failure is not None:
        raise app.state.failure
