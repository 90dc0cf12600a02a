"""`sensory doctor`: what runs here, what is missing, and how to get it."""

from __future__ import annotations

import shlex
from stat import S_IROTH

import typer
from rich.table import Column, Table

from sensory_pipeline.cli.console import output, reader_may_leave
from sensory_pipeline.cli.exit_codes import ExitCode
from sensory_pipeline.cli.lake_option import KeptSettingsOption, settings_if_named
from sensory_pipeline.engines.diagnosis import SUBJECTS, diagnose
from sensory_pipeline.env_file import ENV_FILE
from sensory_pipeline.processing.setup import engine_choice


def doctor(lake: KeptSettingsOption = None) -> None:
    """Show what is installed, which devices and engines will be used, and what is missing.

    Loads and downloads nothing. Exit code 1 if an engine that the settings choose cannot run, or its model
    is not on this machine.
    """
    table = Table(*(Column(name, overflow="fold") for name in ("what", "state", "what to do")), show_lines=True)
    read = ENV_FILE.absolute()
    if ENV_FILE.exists():
        open_to_all = ENV_FILE.stat().st_mode & S_IROTH
        table.add_row(
            "settings",
            f"the environment, and {read}" + (", which every user of this machine can read" if open_to_all else ""),
            f"chmod 600 {shlex.quote(str(read))}" if open_to_all else "",
        )
    else:
        table.add_row("settings", f"the environment; no {read}")
    missing = False
    settings = settings_if_named(lake)
    if "lake" in settings.model_fields_set and (settings.lake / "lake.json").exists():
        table.add_row("lake", f"{settings.lake.absolute()}, whose settings hold where those say nothing")
    for finding in diagnose(engine_choice(settings), settings.request()):
        engine = finding.subject in (*SUBJECTS.values(), "engines")
        missing |= engine and finding.remedy is not None
        table.add_row(finding.subject, finding.state, finding.remedy or "")
    with reader_may_leave():
        output.print(table)
    if missing:
        raise typer.Exit(ExitCode.FAILED)
