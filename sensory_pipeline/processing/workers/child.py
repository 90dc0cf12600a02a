"""The inside of one engine process: it holds the engines and pulls work from the pool.

Messages to the pool: ("want",) for the next job, ("answer", key, value), ("did", activities) now and then,
("closed", cache) at the end of a stream, with what its models did, ("raised", error) when the engine failed
as a whole. Messages from it: ("open", stage, choice) with the number of the engines to use, ("work", job), ("end",).
Pulling, rather than being pushed to, lets an engine look ahead as far as its batches need.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from sensory_pipeline.core.errors import ConfigurationError, EngineError
from sensory_pipeline.engines.activity import ActivityLog
from sensory_pipeline.engines.selection import EngineSets
from sensory_pipeline.processing.tasks.perform import perform
from sensory_pipeline.processing.tasks.task import StageTask

_TELL_S = 5.0
"""Seconds between two messages of what was done."""


def serve(pipe: Connection, factory: EngineSets, parent: int, threads: int | None) -> None:
    """Work until the pool, in process `parent`, hangs up. threads: as for EnginePool."""
    _die_with(parent)
    if threads is not None:  # for libraries that are not loaded yet: torch, CTranslate2 and what they stand on
        os.environ["OMP_NUM_THREADS"] = str(threads)  # noqa: TID251
    sets = factory()
    pipe.send(("ready",))
    while True:
        try:
            _, stage, choice = pipe.recv()
        except EOFError:
            return
        engines = sets[choice]
        try:
            told = time.monotonic()
            for key, value in perform(stage, engines, _pulled(pipe, engines.activity)):
                pipe.send(("answer", key, value))
                if time.monotonic() - told > _TELL_S:
                    pipe.send(("did", engines.activity.taken()))
                    told = time.monotonic()
            pipe.send(("did", engines.activity.taken()))
        except ConfigurationError as error:
            pipe.send(("raised", error))
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever an engine throws is about what it works on
            traceback.print_exc(file=sys.stderr)
            pipe.send(("raised", EngineError(f"{type(error).__name__}: {error}")))
        else:
            pipe.send(("closed", engines.cache.stats() if engines.cache else None))


def _pulled(pipe: Connection, activity: ActivityLog) -> Iterator[StageTask]:
    while True:
        with activity.noting("waiting", "waiting"):
            pipe.send(("want",))
            message = pipe.recv()
        if message[0] == "end":
            return
        yield message[1]


def _die_with(parent: int) -> None:
    """No engine outlives its run, and it is the first to go when memory runs out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        # sent when the *thread* that started this process ends: a pool belongs to a long-lived one
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
        Path("/proc/self/oom_score_adj").write_text("1000")
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
