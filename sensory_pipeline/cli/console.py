"""Where the command line writes: results to standard output, everything else to standard error.

Markup is off: file names, SQL and error messages have brackets of their own. Control characters are shown, not sent.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from sensory_pipeline.core.escaping import visible


class PlainConsole(Console):
    """Of texts that anybody may have written."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, highlight=False, markup=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich does it."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


class _Output(PlainConsole):
    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError  # rich would end the command with exit code 1


output = _Output()
errors = PlainConsole(stderr=True)


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
    """Return a number with its noun: 1 run, 2 recordings."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def length(hours: float) -> str:
    """Return hours of audio in the unit that fits: 2.5 h, 1.4 min, 9 s."""
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{hours * 60:.1f} min" if hours * 60 >= 1 else f"{hours * 3600:.0f} s"
