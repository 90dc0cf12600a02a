"""One process with engines, as the pool that supervises it sees it."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
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
from sensory_pipeline.processing.workers.child import serve
from sensory_pipeline.processing.workers.messages import End, FromProcess, Open, Take, ToProcess

START_LIMIT_S = 300.0
"""Seconds a process may take to import and set up its engines."""


class State(Enum):
    """What a process is at, as far as the pool knows."""

    STARTING = auto()
    """It sets up its engines."""
    IDLE = auto()
    """No stage is open."""
    SHARED = auto()
    """It gets tasks as it asks for them."""
    WAITING = auto()
    """It has asked for a task, and there was none yet."""
    ISOLATED = auto()
    """It is to get a single task, so that there is one alone to blame if it dies."""
    ENDING = auto()
    """It gets no further task."""
    ENDED = auto()
    """It was killed."""


_OPEN = frozenset({State.SHARED, State.WAITING, State.ISOLATED, State.ENDING})


@dataclass(slots=True, eq=False, kw_only=True)
class EngineProcess:
    """lane: its name in a timeline; stage: the only one it works for, None for any; in_flight: what it works on,
    by recording; heard: when it last gave a sign of life, in monotonic seconds; cache: what its models did."""

    process: multiprocessing.process.BaseProcess
    pipe: multiprocessing.connection.Connection
    lane: str
    stage: Stage | None
    state: State = State.STARTING
    in_flight: dict[str, Attempt] = field(default_factory=dict)
    heard: float = field(default_factory=time.monotonic)
    cache: CacheStats | None = None

    @classmethod
    def started(cls, factory: EngineSets, *, threads: int | None, lane: str, stage: Stage | None) -> Self:
        """It sets up its engines now, and dies with the thread that calls this. threads: as for EnginePool."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=serve, args=(theirs, factory, os.getpid(), threads), daemon=True, name="engines"
        )
        process.start()
        theirs.close()
        return cls(process=process, pipe=ours, lane=lane, stage=stage)

    @property
    def open(self) -> bool:
        """Whether it works for a stage."""
        return self.state in _OPEN

    def hear(self) -> FromProcess:
        """What it has to say. Raises EOFError or OSError when it is dead, also in the middle of a message."""
        message: FromProcess = self.pipe.recv()
        self.heard = time.monotonic()
        return message

    def set_up(self) -> None:
        """Its engines are there."""
        self._move(State.IDLE, State.STARTING)

    def open_stage(self, stage: Stage, choice: int, *, isolated: bool) -> None:
        """Tell it to work for a stage. Raises OSError when it is dead."""
        self._move(State.ISOLATED if isolated else State.SHARED, State.IDLE)
        self.heard = time.monotonic()
        self._send(Open(stage=stage, choice=choice))

    def hand(self, attempt: Attempt) -> None:
        """Give it the task that it asked for. Raises OSError when it is dead."""
        self.heard = time.monotonic()
        self._send(Take(task=attempt.task))
        self.in_flight[attempt.task.recording_id] = attempt
        if self.state is State.ISOLATED:
            self._move(State.ENDING, State.ISOLATED)
        else:
            self._move(State.SHARED, State.SHARED, State.WAITING)

    def wait(self) -> None:
        """Leave it without the task that it asked for, until there is one."""
        self._move(State.WAITING, State.SHARED, State.WAITING)

    def end_stage(self) -> None:
        """Tell it that there is no further task."""
        self._move(State.ENDING, State.SHARED, State.WAITING, State.ISOLATED, State.ENDING)
        self.heard = time.monotonic()
        with suppress(OSError):  # of one that died just now we hear with its next message, which is its end
            self._send(End())

    def close_stage(self, cache: CacheStats | None) -> None:
        """It has answered all it will."""
        self._move(State.IDLE, *_OPEN)
        self.cache = cache

    def kill(self) -> None:
        """End it now."""
        self._move(State.ENDED, *State)
        self.process.kill()
        self.process.join()
        self.pipe.close()

    def released(self) -> list[Attempt]:
        """What it was working on, which it no longer is."""
        attempts = list(self.in_flight.values())
        self.in_flight.clear()
        return attempts

    def limit_s(self) -> float:
        """Seconds it may be silent."""
        if not self.in_flight:
            return START_LIMIT_S
        return max(attempt.task.limit_s for attempt in self.in_flight.values())

    def resident_bytes(self) -> int:
        """Its memory; 0 once it is dead."""
        try:
            resident: int = psutil.Process(self.process.pid).memory_info().rss
        except psutil.NoSuchProcess:
            return 0
        return resident

    def cause_of_death(self) -> str:
        """Waits for its end."""
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
