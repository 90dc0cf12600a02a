"""The progress of an ingest: a bar on a terminal, otherwise a line from time to time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from threading import Event, Thread
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from sensory_pipeline.cli.console import PlainConsole, counted
from sensory_pipeline.core.stages import Stage

EVERY_S = 10
_SPEED_OVER_S = 600  # stages differ much in their speed


class IngestProgress:
    """Shows how many steps are done of all; each recording takes one for each stage."""

    def __init__(self, *, shown: bool = True) -> None:
        """shown: whether anything is printed."""
        # a copy, since Dagster points standard error itself to a log of its own while a step runs
        self._file = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="backslashreplace")
        self._console = PlainConsole(file=self._file)
        self._bar = Progress(
            TextColumn(
                "{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
            ),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left", markup=False),
            TimeRemainingColumn(),
            console=self._console,
            expand=True,
            speed_estimate_period=_SPEED_OVER_S,
            disable=not (shown and self._console.is_terminal),
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._lines = shown and not self._console.is_terminal
        self._task = self._bar.add_task("looking for recordings", total=None)
        self._recordings = 0
        self._names: Mapping[str, str] = {}
        self._ended = Event()
        self._reporter = Thread(target=self._report, daemon=True)

    def __enter__(self) -> Self:
        self._bar.start()
        if self._lines:
            self._reporter.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        self._ended.set()
        if self._lines:
            self._reporter.join()
        self._file.close()

    def begin(self, recordings: int) -> None:
        """The number of pending recordings at the start."""
        self._recordings = recordings
        self._bar.update(self._task, total=recordings * len(Stage), description="starting")

    def partition(self, names: Mapping[str, str]) -> None:
        """The recordings that are processed next: their names by recording_id."""
        self._names = names

    def step(self, stage: Stage, recording_id: str) -> None:
        """A stage has finished a recording."""
        what = f"{stage.value}: {self._names.get(recording_id, recording_id)}"
        self._bar.update(self._task, advance=1, description=what)

    def left(self, recordings: int) -> None:
        """The number of recordings still pending after a partition; those that failed or were done took fewer steps."""
        done = max(0, self._recordings - recordings)  # another ingest may have brought more
        description = f"{done} of {counted(self._recordings, 'recording')} done"
        self._bar.update(self._task, completed=done * len(Stage), description=description)
        if self._lines:
            self._print()

    def _report(self) -> None:
        while not self._ended.wait(EVERY_S):
            self._print()

    def _print(self) -> None:
        task = self._bar.tasks[0]
        line = f"{task.description}, {timedelta(seconds=int(task.elapsed or 0))} elapsed"
        if task.total:
            line += f", {task.completed:.0f} of {task.total:.0f} steps"
        if task.time_remaining:
            line += f", {timedelta(seconds=int(task.time_remaining))} left"
        self._console.print(line, soft_wrap=True)
