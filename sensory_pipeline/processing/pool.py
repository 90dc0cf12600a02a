"""Engine processes under supervision: a recording may kill its process, never the run.

Recordings stream to the processes as these ask for them. When one dies, hangs or grows too
large, what it was working on becomes suspect and is tried again alone, after everything else, so
that only the guilty one is blamed again; after three times it is given up.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

import psutil

from sensory_pipeline.core.errors import (
    ConfigurationError,
    Crashed,
    EngineError,
    EngineUnavailable,
    Terminal,
    Transient,
)
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.cache import CacheStats
from sensory_pipeline.engines.selection import EngineSets
from sensory_pipeline.processing.work import Work
from sensory_pipeline.processing.worker import serve

MAX_CRASHES = 3
"""Times a recording may kill or hang its process before it is given up."""
MAX_STILLBORN = 3
"""Times in a row a process may die before it takes any work."""
START_LIMIT_S = 300.0
"""Seconds a process may take to import and set up its engines."""
_POLL_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """value: the result as JSON, or why there is none; seconds: from handing it out to its answer."""

    recording_id: str
    value: str | Terminal | Transient
    seconds: float


@dataclass(slots=True, kw_only=True)
class Trial:
    """Work, and its history: a suspect was at work when a process died, or was started in an
    earlier run and never came to an end; crashes: times it was seen to kill or hang its process."""

    work: Work
    suspect: bool
    crashes: int
    began: float = 0.0


class Journal(Protocol):
    """Told of every recording what happens to it, before the next thing does."""

    def started(self, work: Work) -> None:
        """Handed to a process now."""

    def died(self, work: Work, cause: str) -> None:
        """It was at work when its process died, hung or failed."""

    def returned(self, work: Work) -> None:
        """Taken back unfinished, for a reason that is not its own."""


@dataclass(slots=True, eq=False)
class _Worker:
    process: multiprocessing.process.BaseProcess
    pipe: multiprocessing.connection.Connection
    ready: bool = False
    open: bool = False
    alone: bool = False
    handed_out: int = 0
    in_flight: dict[str, Trial] = field(default_factory=dict)
    heard: float = field(default_factory=time.monotonic)
    cache: CacheStats | None = None

    def limit_s(self) -> float:
        if not self.in_flight:
            return START_LIMIT_S
        return max(trial.work.limit_s for trial in self.in_flight.values())

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class EnginePool:
    """Some processes, each with its own engines, that live until the pool is closed.

    factory: makes the sets of engines, inside each process; memory_mb: megabytes at which one is killed.
    """

    def __init__(self, factory: EngineSets, *, size: int, memory_mb: int) -> None:
        self._factory = factory
        self._size = size
        self._memory_mb = memory_mb
        self._workers: list[_Worker] = []
        self._stillborn = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes."""
        for worker in self._workers:
            worker.kill()
        self._workers.clear()

    @property
    def caches(self) -> tuple[CacheStats, ...]:
        """Of the processes that hold models, each as it was when it last came to an end of work."""
        return tuple(worker.cache for worker in self._workers if worker.cache)

    def run(self, stage: Stage, choice: int, trials: Iterable[Trial], journal: Journal) -> Iterator[Answer | None]:
        """Every recording's answer, in any order; trials are pulled as processes come free.

        choice: which of the factory's engines do it. None stands for a moment without an answer, so that the
        caller can see to other things. Raises ConfigurationError from an engine, EngineUnavailable when no
        process comes up.
        """
        try:
            yield from _Stream(self, stage, choice, trials, journal).answers()
        finally:
            for worker in [w for w in self._workers if w.open]:
                for trial in worker.in_flight.values():
                    journal.returned(trial.work)
                self._discard(worker)

    def _spawn(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, self._factory, os.getpid()), daemon=True, name="engines")
        process.start()
        theirs.close()
        worker = _Worker(process=process, pipe=ours)
        self._workers.append(worker)
        return worker

    def _discard(self, worker: _Worker) -> None:
        worker.kill()
        self._workers.remove(worker)

    def _too_large(self, worker: _Worker) -> bool:
        try:
            resident: int = psutil.Process(worker.process.pid).memory_info().rss
        except psutil.NoSuchProcess:
            return False
        return resident > self._memory_mb << 20


class _Stream:
    """One run of one stage through the pool."""

    def __init__(self, pool: EnginePool, stage: Stage, choice: int, trials: Iterable[Trial], journal: Journal) -> None:
        self._pool = pool
        self._stage = stage
        self._choice = choice
        self._journal = journal
        self._incoming = iter(trials)
        self._fresh: deque[Trial] = deque()
        self._suspects: deque[Trial] = deque()

    def answers(self) -> Iterator[Answer | None]:
        workers = self._pool._workers
        while self._waiting() or any(worker.open for worker in workers):
            self._open_idle()
            ready = multiprocessing.connection.wait([worker.pipe for worker in workers], timeout=_POLL_S)
            if not ready:
                yield None
            for worker in list(workers):
                if worker.pipe in ready:
                    yield from self._listen(worker)
                else:
                    yield from self._watch(worker)

    def _waiting(self) -> int:
        """How many recordings could be handed out now, as far as it pays to look ahead."""
        while len(self._fresh) < self._pool._size and (trial := next(self._incoming, None)) is not None:
            (self._suspects if trial.suspect else self._fresh).append(trial)
        return len(self._fresh) + len(self._suspects)

    def _open_idle(self) -> None:
        workers = self._pool._workers
        waiting = self._waiting()
        idle = [worker for worker in workers if worker.ready and not worker.open][:waiting]
        for worker in idle:
            # suspects come last and alone, so that a second death has only one to blame
            worker.open, worker.alone, worker.handed_out = True, not self._fresh, 0
            worker.heard = time.monotonic()
            try:
                worker.pipe.send(("open", self._stage, self._choice))
            except OSError:  # it died while it had nothing to do, of which no recording is to blame
                self._pool._discard(worker)
        starting = sum(not worker.ready for worker in workers)
        for _ in range(min(waiting - len(idle) - starting, self._pool._size - len(workers))):
            self._pool._spawn()

    def _listen(self, worker: _Worker) -> Iterator[Answer]:
        try:
            message = worker.pipe.recv()
        except (EOFError, OSError):  # the latter also in the middle of a message
            worker.process.join()
            yield from self._bury(worker, _cause(worker.process.exitcode))
            return
        worker.heard = time.monotonic()
        match message:
            case ("ready",):
                worker.ready = True
            case ("want",):
                self._hand_out(worker)
            case ("answer", key, value):
                trial = worker.in_flight.pop(key)
                self._pool._stillborn = 0
                yield Answer(recording_id=key, value=value, seconds=time.monotonic() - trial.began)
            case ("closed", cache):
                worker.open, worker.cache = False, cache
                # an engine that forgets a recording must not make the run wait for ever
                yield from self._suspect(worker, EngineError("the engine gave no answer"))
            case ("raised", ConfigurationError() as error):
                raise error
            case ("raised", EngineError() as error):
                worker.open = False
                if not worker.in_flight:
                    raise EngineUnavailable(f"{self._stage} failed before it took a recording: {error}")
                yield from self._suspect(worker, error)

    def _hand_out(self, worker: _Worker) -> None:
        self._waiting()
        queue = self._suspects if worker.alone else self._fresh
        if not queue or (worker.alone and worker.handed_out):
            with suppress(OSError):  # of one that died just now we hear with its next message, which is its end
                worker.pipe.send(("end",))
            return
        trial = queue.popleft()
        self._journal.started(trial.work)
        trial.began = time.monotonic()
        try:
            worker.pipe.send(("work", trial.work))
        except OSError:
            self._journal.returned(trial.work)
            queue.appendleft(trial)
            return
        worker.handed_out += 1
        worker.in_flight[trial.work.recording_id] = trial

    def _watch(self, worker: _Worker) -> Iterator[Answer]:
        if not worker.open and worker.ready:
            return
        silent_s = time.monotonic() - worker.heard
        if silent_s > worker.limit_s():
            yield from self._bury(worker, f"gave no sign of life for {silent_s:.0f} s")
        elif self._pool._too_large(worker):
            yield from self._bury(worker, f"took more than {self._pool._memory_mb} MB of memory")

    def _bury(self, worker: _Worker, cause: str) -> Iterator[Answer]:
        if not worker.in_flight:
            self._pool._stillborn += 1
            if self._pool._stillborn >= MAX_STILLBORN:
                raise EngineUnavailable(
                    f"the engine process {cause} before it took a recording, {MAX_STILLBORN} times in a row; "
                    "its output above says why"
                )
        self._pool._discard(worker)
        yield from self._suspect(worker, Crashed(f"the process working on it {cause}"))

    def _suspect(self, worker: _Worker, error: Terminal) -> Iterator[Answer]:
        """Blame what was at work; give up whoever was at work once too often."""
        for trial in worker.in_flight.values():
            trial.crashes += 1
            self._journal.died(trial.work, str(error))
            if trial.crashes >= MAX_CRASHES:
                yield Answer(
                    recording_id=trial.work.recording_id,
                    value=type(error)(
                        f"{error}, {trial.crashes} times in {self._stage}; no other recording is affected. "
                        "Retry it with `sensory ingest --retry-failed`"
                    ),
                    seconds=time.monotonic() - trial.began,
                )
            else:
                self._suspects.append(trial)
        worker.in_flight.clear()


def _cause(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"was killed by {signal.Signals(-exitcode).name}"
    return f"exited with code {exitcode}"
