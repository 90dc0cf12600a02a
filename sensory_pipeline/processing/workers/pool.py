"""Engine processes, started, listened to and ended. Who works on what is the dispatcher's."""

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
from sensory_pipeline.engines.cache import CacheStats
from sensory_pipeline.engines.selection import EngineSets
from sensory_pipeline.processing.workers.process import EngineProcess

_POLL_S = 0.2


class EnginePool:
    """Some processes, each with its own engines, that live until the pool is closed.

    factory: makes the sets of engines, inside each process; memory_mb: megabytes at which one is killed.
    size: processes that all stages share, one stage after the other. per_stage: instead, how many each
    stage has to itself, so that stages go on side by side. threads: of the processor, that the libraries in
    each process may use; None for as many as they like.
    """

    def __init__(
        self,
        factory: EngineSets,
        *,
        size: int,
        memory_mb: int,
        per_stage: Mapping[Stage, int] | None = None,
        threads: int | None = None,
    ) -> None:
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
        """Whether a stage can begin before the one it builds on has ended."""
        return self._per_stage is not None

    @property
    def caches(self) -> tuple[CacheStats, ...]:
        """Of the processes that hold models, each as it was when it last came to an end of work."""
        return tuple(process.cache for process in self._processes if process.cache)

    def note(self, process: EngineProcess, activities: Iterable[Activity]) -> None:
        """What a process did, for the timeline."""
        self._activities += (replace(activity, lane=process.lane) for activity in activities)

    def timeline(self) -> Timeline | None:
        """What the processes did since the last time, as far as they have told; None when that is nothing."""
        activities, self._activities = self._activities, []
        return Timeline(activities=tuple(activities)) if activities else None

    def size(self, stage: Stage) -> int:
        """How many processes may work for the stage at once."""
        return self._size if self._per_stage is None else self._per_stage[stage]

    def of(self, stage: Stage) -> list[EngineProcess]:
        """Those that may work for the stage."""
        return [process for process in self._processes if process.stage in (None, stage)]

    def start(self, stage: Stage) -> EngineProcess:
        """One more, that may work for the stage."""
        own = None if self._per_stage is None else stage
        taken = {process.lane for process in self._processes}
        lane = next(lane for number in count(1) if (lane := f"{own or 'engines'} {number}") not in taken)
        process = EngineProcess.started(self._factory, threads=self._threads, lane=lane, stage=own)
        self._processes.append(process)
        return process

    def discard(self, process: EngineProcess) -> None:
        """End it now."""
        process.kill()
        self._processes.remove(process)

    def listen(self, wake: socket | None = None) -> Iterator[tuple[EngineProcess, bool]]:
        """Every process, and whether it has something to say; waits a moment for one that has, or for `wake`."""
        processes = list(self._processes)
        others = [] if wake is None else [wake]
        ready = multiprocessing.connection.wait([*(process.pipe for process in processes), *others], timeout=_POLL_S)
        for process in processes:
            yield process, process.pipe in ready
