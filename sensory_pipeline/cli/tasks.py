"""The option --tasks: what to find out about a recording."""

from __future__ import annotations

from typing import Annotated

import typer

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.core.process_request import Task

TasksOption = Annotated[
    str | None,
    typer.Option("--tasks", help=f"Any of {', '.join(Task)}, separated by commas.", show_default="all"),
]


def tasks_of(names: str) -> tuple[Task, ...]:
    """Return the tasks that the option names, in its order.

    >>> [str(task) for task in tasks_of("emotion, transcribe")]
    ['emotion', 'transcribe']

    Raises:
        ConfigurationError: One does not exist, or there is none.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if wrong := [name for name in wanted if name not in list(Task)] or (not wanted and ["nothing"]):
        raise ConfigurationError(f"--tasks has {wrong[0]}: choose from {', '.join(Task)}")
    return tuple(map(Task, wanted))
