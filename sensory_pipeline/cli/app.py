"""The command line's root: commands, and how errors are shown."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
import typer.core
import typer.main
from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.markup import escape
from typer._click.shell_completion import CompletionItem  # Typer has its own Click, with no public name for this

from sensory_pipeline.cli.console import errors
from sensory_pipeline.cli.exit_codes import EXPECTED, ExitCode, epilog, exit_code
from sensory_pipeline.cli.problems import setting_problems, unknown_settings
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.core.log_lines import configure
from sensory_pipeline.settings import Settings, completing

COMMANDS = (
    "demo",
    "ingest",
    "reprocess",
    "status",
    "configure",
    "forget",
    "sql",
    "process",
    "serve",
    "call",
    "keys",
    "dev",
    "doctor",
    "models",
)
"""Each is the function, or the group of commands, of that name in the module of that name."""
_EXTRAS = {
    "call": "client",
    "serve": "server",
    "keys": "server",
    "process": "engines",
    "models": "engines",
    "doctor": "engines",
}


def _not_installed(name: str, error: ModuleNotFoundError) -> typer.Typer:
    """Return a command that says what to install; raise the error if the missing module is our own."""
    if (error.name or "").startswith("sensory_pipeline"):
        raise error
    install = f"pip install 'sensory-pipeline[{_EXTRAS.get(name, 'pipeline')}]'"
    alone = typer.Typer(add_completion=False)
    about = f"Not installed: {escape(install)}."

    @alone.command(name, help=about, context_settings={"ignore_unknown_options": True}, add_help_option=False)
    def refuse(_: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
        raise ConfigurationError(f"sensory {name} needs {error.name}, which is not installed: {install}")

    return alone


class _Commands(Mapping[str, Any]):
    """Imports the module of a command when it is asked for: Dagster takes a second that `sensory sql` does not need."""

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        try:
            found = getattr(import_module(f"sensory_pipeline.cli.{name}"), name)
        except ModuleNotFoundError as error:
            found = _not_installed(name, error)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False, rich_markup_mode="rich")
            alone.command(name=name)(found)
            found = alone
        return typer.main.get_command(found)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Sensory(typer.core.TyperGroup):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _Commands()  # type: ignore[assignment] # nobody adds to it

    def shell_complete(self, ctx: Any, incomplete: str) -> list[CompletionItem]:
        """The commands by name alone: their help would import them all, Dagster too, with every Tab."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [CompletionItem(name) for name in COMMANDS if name.startswith(incomplete)]

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for. Ctrl-C ends it with a line and the code that shells expect."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            errors.print("stopped")
            raise typer.Exit(ExitCode.STOPPED) from None


app = typer.Typer(
    name="sensory",
    cls=_Sensory,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog=epilog(),
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("sensory-pipeline"))
        raise typer.Exit


@app.callback()
def sensory(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Turn recordings into SQL tables of words, speakers and emotions."""


def main() -> None:
    """Entry point: an expected error is a message on standard error, never a traceback, and an exit code."""
    try:
        if completing():
            app()
        for warning in unknown_settings():
            errors.print(warning, style="yellow", soft_wrap=True)
        configure(Settings().log_level)
        app()
    except EXPECTED as error:
        errors.print(_message(error), style="red", soft_wrap=True)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:  # before a command has begun
        sys.exit(ExitCode.STOPPED)


def _message(error: Exception) -> str:
    match error:
        case PermissionError():
            return f"this user has no permission for {error.filename or error}: ask its owner, or choose another folder"
        case ValidationError() | SettingsError():
            return setting_problems(error)
        case _:
            return str(error)
