"""The exit codes of all commands, in one table: `main`, the help and docs/operations.md read it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from pydantic import ValidationError
from pydantic_settings import SettingsError

from sensory_pipeline.core.errors import (
    ConfigurationError,
    EngineUnavailable,
    LakeDamaged,
    PromptTooLong,
    StaleWriter,
    Terminal,
    Transient,
)


class ExitCode(IntEnum):
    """What a shell sees of the end of a command."""

    DONE = 0
    FAILED = 1
    WRONG_USE = 2
    LAKE_DAMAGED = 3
    STOPPED = 130  # as of every program that Ctrl-C ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """A row. errors: the classes that end a command with this code, and their subclasses that no other row names."""

    code: ExitCode
    meaning: str
    errors: tuple[type[Exception], ...] = ()


EXITS = (
    Exit(code=ExitCode.DONE, meaning="the work is done; of an ingest also where some recordings are bad"),
    Exit(
        code=ExitCode.FAILED,
        meaning="the recording cannot be processed, a run failed, or something that was checked is missing or damaged",
        errors=(Terminal, Transient, EngineUnavailable, StaleWriter),
    ),
    Exit(
        code=ExitCode.WRONG_USE,
        meaning="wrong use: an argument, a setting, a permission, or something that is not installed",
        errors=(ConfigurationError, PromptTooLong, PermissionError, ValidationError, SettingsError),
    ),
    Exit(
        code=ExitCode.LAKE_DAMAGED,
        meaning="a file of the lake is damaged or gone; the message names it",
        errors=(LakeDamaged,),
    ),
    Exit(code=ExitCode.STOPPED, meaning="stopped with Ctrl-C; what is done is kept"),
)

EXPECTED = tuple(error for exit_ in EXITS for error in exit_.errors)
"""The errors that a command shows as a message; any other is a bug, and shown with its traceback."""


def exit_code(error: Exception) -> ExitCode:
    """Of one of the expected errors, by the class in the table that is nearest to its own."""
    return next(exit_.code for kind in type(error).__mro__ for exit_ in EXITS if kind in exit_.errors)


def epilog() -> str:
    """The table as the end of `sensory --help`: a paragraph a row."""
    return "\n\n".join(["Exit codes:", *(f"{exit_.code:>4}  {exit_.meaning}" for exit_ in EXITS)])
