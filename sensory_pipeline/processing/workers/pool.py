"""Starts engine processes, receives their messages and ends them; the dispatcher assigns the work."""

from __future__ import annotations

import logging
import multiprocessing.connection
import time
from collections import Counter
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
from sensory_pipeline.processing.workers.process_handle import EngineProcess, State

log = logging.getLogger(__name__)

POLL_S = 0.2
"""Seconds to wait for a message before looking after the processes."""
RESTART_S = 10.0
"""Seconds that a device gets no process after one has died there before its engines were set up."""


class EnginePool:
    """Engine processes on one or more devices, which live until the pool is closed.

    Attributes:
        memory_mb: A process that uses more megabytes is killed.
        standby: Whether processes start, and load their models, before there is work.
    """

    def __init__(
        self,
        factories: Mapping[str, EngineSets],
        *,
        size: int,
        memory_mb: int,
        per_stage: Mapping[Stage, int] | None = None,
        threads: int | None = None,
        log_level: str = "WARNING",
        standby: bool = False,
    ) -> None:
        """Describe the processes; they are started when they are needed.

        Args:
            factories: For each device by name, what makes the sets of engines inside each of its processes.
            size: Number of processes on each device that all stages share, one stage after the other.
            memory_mb: A process that uses more megabytes is killed.
            per_stage: Number of processes of each stage on each device instead of `size`, so that stages run side by
                side.
            threads: Number of threads that the libraries in each process may use; None for their own choice.
            log_level: Lowest level of the lines that each process logs, also those of its libraries.
            standby: Whether to have one process of each stage on each device before it is needed, its models loaded.
        """
        self.memory_mb = memory_mb
        self.standby = standby
        self._processes: list[EngineProcess] = []
        self._factories = factories
        self._size = size
        self._per_stage = per_stage
        self._threads = threads
        self._log_level = log_level
        self._activities: list[Activity] = []
        self._failed: dict[str, float] = {}
        """When a process last died before its engines were set up, by device, in monotonic seconds."""

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
        return tuple(cache for caches in self.caches_by_device.values() for cache in caches)

    @property
    def caches_by_device(self) -> dict[str, tuple[CacheStats, ...]]:
        """The same for each device, by its name."""
        processes = tuple(self._processes)
        return {
            device: tuple(process.cache for process in processes if process.cache and process.device == device)
            for device in self._factories
        }

    def note(self, process: EngineProcess, activities: Iterable[Activity]) -> None:
        """Add activities of a process to the timeline."""
        self._activities += (replace(activity, lane=process.lane) for activity in activities)

    def timeline(self) -> Timeline | None:
        """Return what the processes have reported since the last call; None if nothing."""
        activities, self._activities = self._activities, []
        return Timeline(activities=tuple(activities)) if activities else None

    def size(self, stage: Stage) -> int:
        """Return how many processes can work on a stage at once, on all devices."""
        return self._limit(stage) * len(self._factories)

    def of(self, stage: Stage) -> list[EngineProcess]:
        """Return the processes that can work on a stage."""
        return [process for process in self._processes if process.stage in (None, stage)]

    def room(self, stage: Stage) -> int:
        """Return how many more processes that can work on a stage may be started now."""
        return sum(self._room(stage).values())

    def start(self, stage: Stage) -> EngineProcess:
        """Start one more process that can work on a stage, on the device with the most room for it."""
        room = self._room(stage)
        return self._start(stage, max(room, key=room.__getitem__))

    def stand_by(self) -> None:
        """Start a process of each stage on each device that has none, if the pool is on standby."""
        if not self.standby:
            return
        for stage in Stage:
            there = {process.device for process in self.of(stage)}
            for device in self._factories:
                if device not in there and not self._rests(device):
                    try:
                        self._start(stage, device)
                    except OSError as error:
                        log.error("no engine process can be started on %s: %s", device, error)
                        self._failed[device] = time.monotonic()

    def dispensable(self, process: EngineProcess) -> bool:
        """Whether a process on another device can do its work."""
        return any(mate.device != process.device and mate.stage == process.stage for mate in self._processes)

    def discard(self, process: EngineProcess) -> None:
        """End a process now."""
        if process.state is State.STARTING:
            self._failed[process.device] = time.monotonic()
        process.kill()
        self._processes.remove(process)

    def _limit(self, stage: Stage) -> int:
        return self._size if self._per_stage is None else self._per_stage[stage]

    def _room(self, stage: Stage) -> dict[str, int]:
        """Return how many more processes each device may have; none while it rests and others have some."""
        there = Counter(process.device for process in self.of(stage))
        return {
            device: 0 if self._rests(device) and there.keys() - {device} else self._limit(stage) - there[device]
            for device in self._factories
        }

    def _rests(self, device: str) -> bool:
        return device in self._failed and time.monotonic() - self._failed[device] < RESTART_S

    def _start(self, stage: Stage, device: str) -> EngineProcess:
        own = None if self._per_stage is None else stage
        taken = {process.lane for process in self._processes}
        lane = next(lane for number in count(1) if (lane := f"{own or 'engines'} {number}") not in taken)
        process = EngineProcess.started(
            self._factories[device],
            threads=self._threads,
            log_level=self._log_level,
            lane=lane,
            device=device,
            stage=own,
            warm=self.standby,
        )
        self._processes.append(process)
        return process

    def listen(self, wake: socket | None = None, wait_s: float = POLL_S) -> Iterator[tuple[EngineProcess, bool]]:
        """Wait for a process to send a message, or until `wake` can be read, for at most `wait_s` seconds.

        Yields:
            Every process, and whether it has sent a message.
        """
        processes = list(self._processes)
        others = [] if wake is None else [wake]
        ready = multiprocessing.connection.wait([*(process.pipe for process in processes), *others], timeout=wait_s)
        for process in processes:
            yield process, process.pipe in ready
