"""Where the command line writes: results to standard output, everything else to standard error.

Markup is off: file names, SQL and error messages have brackets of their own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console


class _Output(Console):
    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError  # rich would end the command with exit code 1


output = _Output(highlight=False, markup=False)
errors = Console(stderr=True, highlight=False, markup=False)


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """End the command quietly where who reads its output has had enough, as `head` has."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more in the end
        raise typer.Exit(0) from None


def counted(number: int, noun: str) -> str:
    """So many of them: 1 run, 2 recordings."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
