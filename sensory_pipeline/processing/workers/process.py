"""One process with engines, as the pool that supervises it sees it."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import psutil

from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.cache import CacheStats
from sensory_pipeline.engines.selection import EngineSets
from sensory_pipeline.processing.workers.child import serve

if TYPE_CHECKING:
    from sensory_pipeline.processing.workers.dispatcher import StageStream, Trial

START_LIMIT_S = 300.0
"""Seconds a process may take to import and set up its engines."""


@dataclass(slots=True, eq=False, kw_only=True)
class EngineProcess:
    """lane: its name in a timeline; stage: the only one it works for, None for any; stream: the one it
    works for now, or was started for.

    ready: its engines are set up; open: it works for its stream; alone: on one recording only; hungry: it
    wants a recording, and there was none yet; heard: when it last gave a sign of life.
    """

    process: multiprocessing.process.BaseProcess
    pipe: multiprocessing.connection.Connection
    lane: str
    stage: Stage | None
    stream: StageStream | None
    ready: bool = False
    open: bool = False
    alone: bool = False
    hungry: bool = False
    handed_out: int = 0
    in_flight: dict[str, Trial] = field(default_factory=dict)
    heard: float = field(default_factory=time.monotonic)
    cache: CacheStats | None = None

    @classmethod
    def started(
        cls, factory: EngineSets, *, threads: int | None, lane: str, stage: Stage | None, stream: StageStream
    ) -> Self:
        """It sets up its engines now. threads: as for EnginePool."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=serve, args=(theirs, factory, os.getpid(), threads), daemon=True, name="engines"
        )
        process.start()
        theirs.close()
        return cls(process=process, pipe=ours, lane=lane, stage=stage, stream=stream)

    def limit_s(self) -> float:
        """Seconds it may be silent."""
        if not self.in_flight:
            return START_LIMIT_S
        return max(trial.work.limit_s for trial in self.in_flight.values())

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

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()
