"""The parent's handle of an engine process: starts it, watches it, kills it."""

from __future__ import annotations

import multiprocessing.connection
import multiprocessing.process
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Self

import psutil

from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.cache_stats import CacheStats
from sensory_pipeline.engines.selection import EngineSets
from sensory_pipeline.processing.workers.attempt import Attempt
from sensory_pipeline.processing.workers.messages import End, FromProcess, Open, Take, ToProcess
from sensory_pipeline.processing.workers.process_main import serve
from sensory_pipeline.processing.workers.process_server import server_context

START_LIMIT_S = 300.0
"""Seconds in which a process must import and set up its engines."""


class State(Enum):
    """The state of a process, as far as the pool knows."""

    STARTING = auto()
    """It is setting up its engines."""
    IDLE = auto()
    """No stage is open."""
    SHARED = auto()
    """It gets each task that it asks for."""
    WAITING = auto()
    """It has asked for a task, but there was none."""
    ISOLATED = auto()
    """It gets a single task, so that only this one can be the cause if it dies."""
    ENDING = auto()
    """It gets no more tasks."""
    ENDED = auto()
    """It was killed."""


_OPEN = frozenset({State.SHARED, State.WAITING, State.ISOLATED, State.ENDING})


@dataclass(slots=True, eq=False, kw_only=True)
class EngineProcess:
    """A process and what it is doing.

    Attributes:
        process: The operating system's process.
        pipe: Our end of the pipe to it.
        lane: Its name in a timeline.
        device: Where its models are.
        stage: The only stage it works on; None for any.
        state: Its state.
        in_flight: What it is working on, by recording_id.
        heard: When it last gave a sign of life, in monotonic seconds.
        cache: Statistics of its model cache, when it last finished a stage.
    """

    process: multiprocessing.process.BaseProcess
    pipe: multiprocessing.connection.Connection
    lane: str
    device: str
    stage: Stage | None
    state: State = State.STARTING
    in_flight: dict[str, Attempt] = field(default_factory=dict)
    heard: float = field(default_factory=time.monotonic)
    cache: CacheStats | None = None

    @classmethod
    def started(
        cls,
        factory: EngineSets,
        *,
        threads: int | None,
        log_level: str,
        lane: str,
        device: str,
        stage: Stage | None,
        warm: bool,
    ) -> Self:
        """Start a process, which then sets up its engines; it dies with this one.

        Args:
            factory: Makes the sets of engines.
            threads: As for EnginePool.
            log_level: As for EnginePool.
            lane: Its name in a timeline.
            device: Where its models are.
            stage: The only stage it works on; None for any.
            warm: Whether it loads its models at once.

        Raises:
            OSError: It cannot be started.
        """
        context = server_context()
        ours, theirs = context.Pipe()
        stages = (tuple(Stage) if stage is None else (stage,)) if warm else ()
        process = context.Process(
            target=serve,
            args=(theirs, factory, dict(os.environ), threads, log_level, stages),  # noqa: TID251 - passed on
            daemon=True,
            name="engines",
        )
        try:
            process.start()
        except EOFError as error:
            raise OSError("the server of engine processes died while it started one") from error
        finally:
            theirs.close()
        return cls(process=process, pipe=ours, lane=lane, device=device, stage=stage)

    @property
    def open(self) -> bool:
        """Whether it works on a stage."""
        return self.state in _OPEN

    def hear(self) -> FromProcess:
        """Receive its next message.

        Raises:
            EOFError: It is dead.
            OSError: It is dead, perhaps in the middle of a message.
        """
        message: FromProcess = self.pipe.recv()
        self.heard = time.monotonic()
        return message

    def set_up(self, cache: CacheStats | None) -> None:
        """Note that its engines are set up."""
        self._move(State.IDLE, State.STARTING)
        self.cache = cache

    def open_stage(self, stage: Stage, choice: int, *, isolated: bool) -> None:
        """Let it work on a stage.

        Args:
            stage: The stage.
            choice: Number of the set of engines.
            isolated: Whether it gets a single task only.

        Raises:
            OSError: It is dead.
        """
        self._move(State.ISOLATED if isolated else State.SHARED, State.IDLE)
        self.heard = time.monotonic()
        self._send(Open(stage=stage, choice=choice))

    def hand(self, attempt: Attempt) -> None:
        """Send the task that it asked for.

        Raises:
            OSError: It is dead.
        """
        self.heard = time.monotonic()
        self._send(Take(task=attempt.task))
        self.in_flight[attempt.task.recording_id] = attempt
        if self.state is State.ISOLATED:
            self._move(State.ENDING, State.ISOLATED)
        else:
            self._move(State.SHARED, State.SHARED, State.WAITING)

    def wait(self) -> None:
        """Let it wait for the task that it asked for."""
        self._move(State.WAITING, State.SHARED, State.WAITING)

    def end_stage(self) -> None:
        """Tell it that there are no more tasks."""
        self._move(State.ENDING, State.SHARED, State.WAITING, State.ISOLATED, State.ENDING)
        self.heard = time.monotonic()
        with suppress(OSError):  # if it has just died, its next message shows that
            self._send(End())

    def close_stage(self, cache: CacheStats | None) -> None:
        """Note that it has answered all tasks."""
        self._move(State.IDLE, *_OPEN)
        self.cache = cache

    def kill(self) -> None:
        """End it now."""
        self._move(State.ENDED, *State)
        if self.process.is_alive():  # else its number may be another's already
            self.process.kill()
        self.process.join()
        self.pipe.close()

    def released(self) -> list[Attempt]:
        """Return what it was working on, and forget it."""
        attempts = list(self.in_flight.values())
        self.in_flight.clear()
        return attempts

    def limit_s(self) -> float:
        """Return the seconds that it may be silent."""
        if not self.in_flight:
            return START_LIMIT_S
        return max(attempt.task.limit_s for attempt in self.in_flight.values())

    def resident_bytes(self) -> int:
        """Return its resident memory in bytes; 0 once it is dead."""
        try:
            resident: int = psutil.Process(self.process.pid).memory_info().rss
        except psutil.NoSuchProcess:
            return 0
        return resident

    def cause_of_death(self) -> str:
        """Wait for its end and return the cause."""
        self.process.join()
        exitcode = self.process.exitcode
        if exitcode is not None and exitcode < 0:
            return f"was killed by {signal.Signals(-exitcode).name}"
        return f"exited with code {exitcode}"

    def _move(self, to: State, *allowed: State) -> None:
        assert self.state in allowed, f"an engine process that is {self.state.name} cannot become {to.name}"
        self.state = to

    def _send(self, message: ToProcess) -> None:
        self.pipe.send(message)
