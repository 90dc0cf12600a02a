"""Engine processes under supervision: a recording may kill its process, never the run.

Recordings stream to the processes as these ask for them. All stages share the processes one after the
other, or each stage has its own, and several go on side by side. One thread drives everything: whoever
asks for the answers of one stream hears what the processes of all of them say.
"""

from __future__ import annotations

import multiprocessing.connection
import time
from collections.abc import Generator, Iterable, Mapping
from dataclasses import replace
from itertools import count
from types import TracebackType
from typing import Self

from sensory_pipeline.core.stages import Stage
from sensory_pipeline.core.timeline import Activity, Timeline
from sensory_pipeline.engines.cache import CacheStats
from sensory_pipeline.engines.selection import EngineSets
from sensory_pipeline.processing.workers.dispatcher import Answer, Journal, StageStream, Trial
from sensory_pipeline.processing.workers.process import EngineProcess

_POLL_S = 0.2


class EnginePool:
    """Some processes, each with its own engines, that live until the pool is closed.

    factory: makes the sets of engines, inside each process; memory_mb: megabytes at which one is killed.
    size: processes that all stages share, one stage after the other. apart: instead, how many each
    stage has to itself, so that stages go on side by side. threads: of the processor, that the libraries in
    each process may use; None for as many as they like.
    """

    def __init__(
        self,
        factory: EngineSets,
        *,
        size: int,
        memory_mb: int,
        apart: Mapping[Stage, int] | None = None,
        threads: int | None = None,
    ) -> None:
        self.memory_mb = memory_mb
        self.processes: list[EngineProcess] = []
        self._factory = factory
        self._size = size
        self._apart = apart
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
        for process in self.processes:
            process.kill()
        self.processes.clear()

    @property
    def side_by_side(self) -> bool:
        """Whether a stage can begin before the one it builds on has ended."""
        return self._apart is not None

    @property
    def caches(self) -> tuple[CacheStats, ...]:
        """Of the processes that hold models, each as it was when it last came to an end of work."""
        return tuple(process.cache for process in self.processes if process.cache)

    def timeline(self) -> Timeline | None:
        """What the processes did since the last time, as far as they have told; None when that is nothing."""
        activities, self._activities = self._activities, []
        return Timeline(activities=tuple(activities)) if activities else None

    def run(
        self, stage: Stage, choice: int, trials: Iterable[Trial | None], journal: Journal
    ) -> Generator[Answer | None, None, None]:
        """Every recording's answer, in any order; trials are pulled as processes come free.

        choice: which of the factory's engines do it. A trial of None stands for a moment without one, an
        answer of None for a moment without an answer, so that the caller can see to other things, such as
        the stream of another stage. Raises ConfigurationError from an engine, EngineUnavailable when no
        process comes up.
        """
        stream = StageStream(self, stage, choice, trials, journal)
        try:
            yield from stream.results()
        finally:
            for process in [p for p in self.processes if p.stream is stream]:
                for trial in process.in_flight.values():
                    journal.returned(trial.work)
                if process.open:
                    self.discard(process)
                else:
                    process.stream = None
            for work in stream.undelivered():
                journal.returned(work)

    def size(self, stage: Stage) -> int:
        """How many processes may work for the stage at once."""
        return self._size if self._apart is None else self._apart[stage]

    def of(self, stage: Stage) -> list[EngineProcess]:
        """Those that may work for the stage."""
        return [process for process in self.processes if process.stage in (None, stage)]

    def start(self, stream: StageStream) -> None:
        """One more, for that stream first."""
        stage = None if self._apart is None else stream.stage
        taken = {process.lane for process in self.processes}
        lane = next(lane for number in count(1) if (lane := f"{stage or 'engines'} {number}") not in taken)
        self.processes.append(
            EngineProcess.started(self._factory, threads=self._threads, lane=lane, stage=stage, stream=stream)
        )

    def discard(self, process: EngineProcess) -> None:
        """End it now."""
        process.kill()
        self.processes.remove(process)

    def listen(self) -> None:
        """Hear what processes have to say, for whichever stream; waits a moment for it."""
        processes = list(self.processes)
        ready = multiprocessing.connection.wait([process.pipe for process in processes], timeout=_POLL_S)
        for process in processes:
            try:
                if process.pipe in ready:
                    self._hear(process)
                elif process.stream is not None:
                    process.stream.watch(process)
            except Exception as error:
                if process.stream is None:
                    raise
                process.stream.fail(error)  # and not whoever listens now

    def _hear(self, process: EngineProcess) -> None:
        try:
            message = process.pipe.recv()
        except (EOFError, OSError):  # the latter also in the middle of a message
            cause = process.cause_of_death()
            if process.stream is not None:
                process.stream.bury(process, cause)
            else:  # it had nothing to do, so no recording is to blame
                self.discard(process)
            return
        process.heard = time.monotonic()
        match message:
            case ("ready",):
                process.ready = True
            case ("did", activities):
                self._activities += (replace(activity, lane=process.lane) for activity in activities)
            case _ if process.stream is not None:
                process.stream.hear(process, message)
