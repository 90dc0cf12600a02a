"""The inside of an engine process: it holds the engines and asks for tasks (messages.py)."""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import assert_never

from sensory_pipeline.core.errors import ConfigurationError, EngineError, brief
from sensory_pipeline.core.log_lines import configure
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.activity_log import ActivityLog
from sensory_pipeline.engines.cache_stats import CacheStats
from sensory_pipeline.engines.selection import Engines, EngineSets
from sensory_pipeline.processing.tasks.perform import perform
from sensory_pipeline.processing.tasks.task import StageTask
from sensory_pipeline.processing.tasks.warm_up import warm_up
from sensory_pipeline.processing.workers.messages import (
    Answered,
    Closed,
    Did,
    End,
    Failed,
    FromProcess,
    Open,
    Ready,
    Take,
    ToProcess,
    Want,
)
from sensory_pipeline.processing.workers.process_server import end_with_the_server

log = logging.getLogger(__name__)

_REPORT_S = 5.0
"""Seconds between two messages about what was done."""


def serve(
    pipe: Connection,
    factory: EngineSets,
    environment: Mapping[str, str],
    threads: int | None,
    log_level: str,
    warm: Sequence[Stage],
) -> None:
    """Work until the pool closes the pipe.

    Args:
        pipe: This end of the pipe.
        factory: Makes the sets of engines.
        environment: That of the pool's process; the server that this process was forked from may have an older one.
        threads: As for EnginePool.
        log_level: As for EnginePool.
        warm: The stages whose models it loads at once, those of the first set of engines.
    """
    _die_with_the_pool()
    os.environ.clear()  # noqa: TID251
    os.environ.update(environment)  # noqa: TID251
    configure(log_level)
    if threads is not None:  # for libraries that are not loaded yet: torch, CTranslate2 and their dependencies
        os.environ["OMP_NUM_THREADS"] = str(threads)  # noqa: TID251
    sets = factory()
    error = None
    for stage in warm:
        try:
            warm_up(stage, sets[0])
        except ConfigurationError as refusal:
            error = refusal
    _send(pipe, Ready(cache=_stats(sets[0]), error=error))
    while True:
        try:
            message: ToProcess = pipe.recv()
        except EOFError:
            return
        match message:
            case Open(stage=stage, choice=choice):
                _send(pipe, _work(pipe, stage, sets[choice]))
            case Take() | End():
                raise RuntimeError(f"no stage is open, and {message} came")
            case _:
                assert_never(message)


def _work(pipe: Connection, stage: Stage, engines: Engines) -> Closed | Failed:
    """Work on tasks until there are no more; return how it ended."""
    try:
        reported = time.monotonic()
        for key, outcome in perform(stage, engines, _tasks(pipe, engines.activity)):
            _send(pipe, Answered(recording_id=key, outcome=outcome))
            if time.monotonic() - reported > _REPORT_S:
                _send(pipe, Did(activities=tuple(engines.activity.taken())))
                reported = time.monotonic()
        _send(pipe, Did(activities=tuple(engines.activity.taken())))
    except ConfigurationError as error:
        return Failed(error=error)
    except MemoryError:  # there may be too little to answer; as the process ends, it frees what it has
        raise
    except Exception as error:
        # it may be about any recording that the engine has, so they are tried again one by one
        log.exception("the engine failed in %s", stage)
        return Failed(error=EngineError(f"the engine failed: {brief(error)}"))
    return Closed(cache=_stats(engines))


def _stats(engines: Engines) -> CacheStats | None:
    return engines.cache.stats() if engines.cache else None


def _tasks(pipe: Connection, activity: ActivityLog) -> Iterator[StageTask]:
    while True:
        with activity.noting("waiting", "waiting"):
            _send(pipe, Want())
            message: ToProcess = pipe.recv()
        match message:
            case Take(task=task):
                yield task
            case End():
                return
            case Open():
                raise RuntimeError(f"a stage is open already, and {message} came")
            case _:
                assert_never(message)


def _send(pipe: Connection, message: FromProcess) -> None:
    pipe.send(message)


def _die_with_the_pool() -> None:
    """End with the pool's process, and be the first to be killed when memory runs out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        # sent when the server that this process was forked from ends
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
        Path("/proc/self/oom_score_adj").write_text("1000")
    end_with_the_server()
    parent = multiprocessing.parent_process()
    if parent is None or not parent.is_alive():
        os.kill(os.getpid(), signal.SIGKILL)
