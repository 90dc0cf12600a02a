"""`sensory dev`: Dagster's UI and daemon on the lake's own instance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from sensory_pipeline.automation.instance import prepare_home
from sensory_pipeline.automation.services import serve
from sensory_pipeline.cli.console import errors
from sensory_pipeline.cli.lake_option import LakeOption, settings_of
from sensory_pipeline.cli.listening import listener, url
from sensory_pipeline.cli.settings_prompt import RedoOption, agree
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.core.hosts import is_loopback
from sensory_pipeline.dagster_internals import is_valid_cron_schedule
from sensory_pipeline.engines.device_discovery import run_devices
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.setup import arrival_wait_s
from sensory_pipeline.settings import Settings, dagster_home, environment_with, visible_devices


def dev(
    lake: LakeOption = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 3000,
    unprotected: Annotated[
        bool, typer.Option("--unprotected", help="On another address than this machine's own, without any password.")
    ] = False,
    redo: RedoOption = False,
) -> None:
    """Start Dagster's UI and daemon for a lake. Ctrl-C stops both.

    Sources in the settings are watched all day and swept at night. At its start, the command lists what runs
    automatically.
    """
    settings = settings_of(lake)
    _check_cron(settings.nightly)
    _check_reach(host, port, unprotected=unprotected)
    listener(host, port).close()  # Dagster would say that the port is in use after half a minute, in a traceback
    opened = Lake.create(settings.lake, shards=settings.shards, start_date=settings.start_date, ledger=settings.ledger)
    agree(opened, settings, redo=redo)
    root = opened.root
    home = prepare_home(dagster_home(root))
    address = url(host, port)
    errors.print(f"lake {root}, Dagster's UI at {address} (Ctrl-C to stop)", soft_wrap=True)
    errors.print("\n".join(habits(settings)), soft_wrap=True)
    environment = environment_with(
        DAGSTER_HOME=str(home), SENSORY_LAKE=str(root), SENSORY_UI_URL=settings.ui_url or address
    )
    serve(
        home,
        environment,
        host=host,
        port=port,
        log_level=settings.log_level,
        report=lambda line: errors.print(line, soft_wrap=True),
    )


def habits(settings: Settings) -> Iterator[str]:
    """Return what runs automatically, one line each, with the settings that change it."""
    if settings.sources:
        yield f"watches {', '.join(source.uri for source in settings.sources)} (SENSORY_SOURCES)"
        yield (
            f"  all day: new recordings run after {arrival_wait_s(settings):g} s, or at once from "
            f"{settings.arrival_gb:g} GB on (SENSORY_ARRIVALS, SENSORY_ARRIVAL_WAIT_S, SENSORY_ARRIVAL_GB)"
            if settings.arrivals
            else "  not all day (SENSORY_ARRIVALS=true)"
        )
        yield f"  at night: everything pending, at {settings.nightly} {settings.time_zone} (SENSORY_NIGHTLY)"
        yield "  switch both on or off on the UI's Automation page; restarts keep what you set there"
    else:
        yield """watches nothing (SENSORY_SOURCES='["/recordings"]')"""
    devices = run_devices(settings.devices, visible_devices(), elsewhere=settings.steps_elsewhere)
    yield f"one run at a time on each of {', '.join(device.name for device in devices)} (SENSORY_DEVICES)"


def _check_cron(nightly: str) -> None:
    """Dagster would start without assets, and say why in a traceback."""
    if not is_valid_cron_schedule(nightly):
        raise ConfigurationError(
            f"SENSORY_NIGHTLY is {nightly!r}: write the five fields of a cron expression, for example 0 2 * * *"
        )


def _check_reach(host: str, port: int, *, unprotected: bool) -> None:
    if is_loopback(host):
        return
    what = f"Dagster's UI has no password: everybody who can reach {url(host, port)} can start, stop and delete runs"
    if not unprotected:
        raise ConfigurationError(f"{what}; listen on 127.0.0.1 and use an SSH tunnel, or give --unprotected")
    errors.print(what, soft_wrap=True)
