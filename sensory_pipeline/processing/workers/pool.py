"""Starts engine processes, receives their messages and ends them; the dispatcher assigns the work."""

from __future__ import annotations

import multiprocessing.connection
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from socket import socket
from types import TracebackType
from typing import Self

from sensory_pipeline.core.stages import Stage
from sensory_pipeline.core.timeline import Activity, Timeline
from sensory_pipeline.engines.cache_stats import CacheStats
from sensory_pipeline.engines.selection import EngineSets
from sensory_pipeline.processing.workers.process_handle import EngineProcess

_POLL_S = 0.2


class EnginePool:
    """Engine processes that live until the pool is closed."""

    def __init__(
        self,
        factory: EngineSets,
        *,
        size: int,
        memory_mb: int,
        per_stage: Mapping[Stage, int] | None = None,
        threads: int | None = None,
    ) -> None:
        """Describe the processes; they are started when they are needed.

        Args:
            factory: Makes the sets of engines inside each process.
            size: Number of processes that all stages share, one stage after the other.
            memory_mb: A process that uses more megabytes is killed.
            per_stage: Number of processes of each stage instead of `size`, so that stages run side by side.
            threads: Number of threads that the libraries in each process may use; None for their own choice.
        """
        self.memory_mb = memory_mb
        self._processes: list[EngineProcess] = []
        self._factory = factory
        self._size = size
        self._per_stage = per_stage
        self._threads = threads
        self._activities: list[Activity] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes."""
        for process in self._processes:
            process.kill()
        self._processes.clear()

    @property
    def side_by_side(self) -> bool:
        """Whether a stage can start before the stage that it reads has ended."""
        return self._per_stage is not None

    @property
    def caches(self) -> tuple[CacheStats, ...]:
        """Model cache statistics of the processes that hold models, as of the last time each finished a stage."""
        return tuple(process.cache for process in self._processes if process.cache)

    def note(self, process: EngineProcess, activities: Iterable[Activity]) -> None:
        """Add activities of a process to the timeline."""
        self._activities += (replace(activity, lane=process.lane) for activity in activities)

    def timeline(self) -> Timeline | None:
        """Return what the processes have reported since the last call; None if nothing."""
        activities, self._activities = self._activities, []
        return Timeline(activities=tuple(activities)) if activities else None

    def size(self, stage: Stage) -> int:
        """Return how many processes can work on a stage at once."""
        return self._size if self._per_stage is None else self._per_stage[stage]

    def of(self, stage: Stage) -> list[EngineProcess]:
        """Return the processes that can work on a stage."""
        return [process for process in self._processes if process.stage in (None, stage)]

    def start(self, stage: Stage) -> EngineProcess:
        """Start one more process that can work on a stage."""
        own = None if self._per_stage is None else stage
        taken = {process.lane for process in self._processes}
        lane = next(lane for number in count(1) if (lane := f"{own or 'engines'} {number}") not in taken)
        process = EngineProcess.started(self._factory, threads=self._threads, lane=lane, stage=own)
        self._processes.append(process)
        return process

    def discard(self, process: EngineProcess) -> None:
        """End a process now."""
        process.kill()
        self._processes.remove(process)

    def listen(self, wake: socket | None = None) -> Iterator[tuple[EngineProcess, bool]]:
        """Wait a moment until a process has sent a message, or until `wake` can be read.

        Yields:
            Every process, and whether it has sent a message.
        """
        processes = list(self._processes)
        others = [] if wake is None else [wake]
        ready = multiprocessing.connection.wait([*(process.pipe for process in processes), *others], timeout=_POLL_S)
        for process in processes:
            yield process, process.pipe in ready
