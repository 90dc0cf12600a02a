"""CPU seconds and memory of this process and of those that it has started."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

SAMPLE_S = 0.1
"""Ten ticks of the kernel, its unit for the CPU time of other processes."""


def cpu_s() -> float:
    """Return the CPU seconds of both together."""
    return time.process_time() + children_s()


def children_s() -> float:
    """Return the CPU seconds of the processes that this one has started, including those that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = ended.ru_utime + ended.ru_stime
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


def peak_mb() -> float:
    """Return the largest resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def children_mb() -> float:
    """Return the resident memory in MB of the processes that this one has started; each counts what it shares."""
    found = 0.0
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            found += child.memory_info().rss / 1e6
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Orchestration:
    """What a run costs besides its engines.

    Attributes:
        wall_s: Wall time of the run in seconds.
        idle_s: Seconds of it in which no engine process worked.
        own_cpu_s: CPU seconds of the run's own process.
        engines_cpu_s: CPU seconds of the engine processes.
    """

    wall_s: float
    idle_s: float
    own_cpu_s: float
    engines_cpu_s: float

    @property
    def wall_share(self) -> float:
        return self.idle_s / self.wall_s

    @property
    def cpu_share(self) -> float:
        return self.own_cpu_s / (self.own_cpu_s + self.engines_cpu_s)


def orchestration(run: Callable[[], object]) -> Orchestration:
    """Do a run, and check ten times a second whether an engine process works, that is, uses half a core or more."""
    done = threading.Event()
    idle_s = 0.0

    def watch() -> None:
        nonlocal idle_s
        at, engines = time.perf_counter(), children_s()
        while not done.wait(SAMPLE_S):
            now, worked = time.perf_counter(), children_s()
            if worked - engines < (now - at) / 2:
                idle_s += now - at
            at, engines = now, worked

    watcher = threading.Thread(target=watch)
    wall, own, engines = time.perf_counter(), time.process_time(), children_s()
    watcher.start()
    try:
        run()
    finally:
        done.set()
        watcher.join()
    return Orchestration(
        wall_s=time.perf_counter() - wall,
        idle_s=idle_s,
        own_cpu_s=time.process_time() - own,
        engines_cpu_s=children_s() - engines,
    )
