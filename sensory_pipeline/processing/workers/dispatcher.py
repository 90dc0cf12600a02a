"""What the recordings of one stage come to in engine processes: answers, and who is to blame for a death.

When a process dies, hangs or grows too large, what it was working on becomes suspect and is tried again
alone, after everything else, so that only the guilty one is blamed again; after three times it is given up.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sensory_pipeline.core.errors import (
    ConfigurationError,
    Crashed,
    EngineError,
    EngineUnavailable,
    Terminal,
    Transient,
)
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.processing.tasks.task import StageTask
from sensory_pipeline.processing.workers.process import EngineProcess

if TYPE_CHECKING:
    from sensory_pipeline.processing.workers.pool import EnginePool

MAX_CRASHES = 3
"""Times a recording may kill or hang its process before it is given up."""
MAX_STILLBORN = 3
"""Times in a row a process may die before it takes any work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """value: the result as JSON, or why there is none; seconds: from handing it out to its answer."""

    recording_id: str
    value: str | Terminal | Transient
    seconds: float


@dataclass(slots=True, kw_only=True)
class Trial:
    """A task, and its history: a suspect was at work when a process died, or was started in an
    earlier run and never came to an end; crashes: times it was seen to kill or hang its process."""

    work: StageTask
    suspect: bool
    crashes: int
    began: float = 0.0


class Journal(Protocol):
    """Told of every recording what happens to it, before the next thing does."""

    def started(self, work: StageTask) -> None:
        """Handed to a process now."""

    def died(self, work: StageTask, cause: str) -> None:
        """It was at work when its process died, hung or failed."""

    def returned(self, work: StageTask) -> None:
        """Taken back unfinished, for a reason that is not its own."""


class StageStream:
    """Recordings of one stage on their way through the processes of a pool. The pool tells it what they say."""

    def __init__(
        self, pool: EnginePool, stage: Stage, choice: int, trials: Iterable[Trial | None], journal: Journal
    ) -> None:
        self.stage = stage
        self._pool = pool
        self._choice = choice
        self._journal = journal
        self._incoming = iter(trials)
        self._complete = False  # nothing more is incoming
        self._fresh: deque[Trial] = deque()
        self._suspects: deque[Trial] = deque()
        self._answers: deque[tuple[StageTask, Answer]] = deque()
        self._error: Exception | None = None
        self._stillborn = 0

    def results(self) -> Iterator[Answer | None]:
        """As EnginePool.run."""
        while True:
            self._staff()
            # all of them, since other streams hear answers for this one too
            while self._answers:
                yield self._answers.popleft()[1]
            if self._error is not None:
                raise self._error
            if self._complete and not self._waiting() and not self._at_work():
                return
            self._pool.listen()
            if not self._answers:
                yield None

    def fail(self, error: Exception) -> None:
        """Raise it where this stream's results are asked for."""
        self._error = error

    def undelivered(self) -> list[StageTask]:
        """Of which there are answers that nobody has asked for."""
        return [work for work, _ in self._answers]

    def _at_work(self) -> bool:
        return any(process.open and process.stream is self for process in self._pool.processes)

    def _waiting(self) -> int:
        """How many recordings could be handed out now, as far as it pays to look ahead."""
        while not self._complete and len(self._fresh) < self._pool.size(self.stage):
            try:
                trial = next(self._incoming)
            except StopIteration:
                self._complete = True
                break
            if trial is None:
                break
            (self._suspects if trial.suspect else self._fresh).append(trial)
        # suspects come last and alone, so that a second death has only one to blame
        return len(self._fresh) + (len(self._suspects) if self._complete else 0)

    def _staff(self) -> None:
        """Give processes that wait what there is, and take on more if that is too much for them."""
        for process in [p for p in self._pool.processes if p.stream is self and p.hungry]:
            self._hand_out(process)
        waiting, mates = self._waiting(), self._pool.of(self.stage)
        if not waiting and not self._complete:  # one gets ready while the first recording is under way to it
            waiting = int(not any(process.open for process in mates))
        idle = [process for process in mates if process.ready and not process.open][:waiting]
        for process in idle:
            self._open(process)
        starting = [process for process in mates if not process.ready]
        for process in starting:
            process.stream = process.stream or self  # of one that the stream before has left behind
        for _ in range(min(waiting - len(idle) - len(starting), self._pool.size(self.stage) - len(mates))):
            self._pool.start(self)

    def _open(self, process: EngineProcess) -> None:
        process.stream, process.open, process.handed_out = self, True, 0
        process.alone = self._complete and not self._fresh
        process.heard = time.monotonic()
        try:
            process.pipe.send(("open", self.stage, self._choice))
        except OSError:  # it died while it had nothing to do, of which no recording is to blame
            self._pool.discard(process)

    def hear(self, process: EngineProcess, message: tuple[Any, ...]) -> None:
        """What a process says that works for this stream."""
        match message:
            case ("want",):
                self._hand_out(process)
            case ("answer", key, value):
                trial = process.in_flight.pop(key)
                self._stillborn = 0
                self._answer(trial, value)
            case ("closed", cache):
                process.open, process.cache = False, cache
                # an engine that forgets a recording must not make the run wait for ever
                self._suspect(process, EngineError("the engine gave no answer"))
            case ("raised", ConfigurationError() as error):
                self._error = error
            case ("raised", EngineError() as error):
                process.open = False
                if not process.in_flight:
                    self._error = EngineUnavailable(f"{self.stage} failed before it took a recording: {error}")
                self._suspect(process, error)
                self._pool.discard(process)  # who knows in what state it is; a GPU's may fail on everything now

    def _hand_out(self, process: EngineProcess) -> None:
        self._waiting()
        queue = self._suspects if process.alone else self._fresh
        process.hungry = not queue and not process.alone and not self._complete
        if process.hungry:
            return
        process.heard = time.monotonic()
        if not queue or (process.alone and process.handed_out):
            with suppress(OSError):  # of one that died just now we hear with its next message, which is its end
                process.pipe.send(("end",))
            return
        trial = queue.popleft()
        self._journal.started(trial.work)
        trial.began = time.monotonic()
        try:
            process.pipe.send(("work", trial.work))
        except OSError:
            self._journal.returned(trial.work)
            queue.appendleft(trial)
            return
        process.handed_out += 1
        process.in_flight[trial.work.recording_id] = trial

    def watch(self, process: EngineProcess) -> None:
        """A process of this stream has said nothing just now."""
        if not process.open and process.ready:
            return
        silent_s = time.monotonic() - process.heard
        if silent_s > process.limit_s() and not process.hungry:
            self.bury(process, f"gave no sign of life for {silent_s:.0f} s")
        elif process.resident_bytes() > self._pool.memory_mb << 20:
            self.bury(process, f"took more than {self._pool.memory_mb} MB of memory")

    def bury(self, process: EngineProcess, cause: str) -> None:
        """A process of this stream is dead, or is to be."""
        if not process.in_flight:
            self._stillborn += 1
            if self._stillborn >= MAX_STILLBORN:
                self._error = EngineUnavailable(
                    f"the engine process {cause} before it took a recording, {MAX_STILLBORN} times in a row; "
                    "its output above says why"
                )
        self._pool.discard(process)
        self._suspect(process, Crashed(f"the process working on it {cause}"))

    def _suspect(self, process: EngineProcess, error: Terminal) -> None:
        """Blame what was at work; give up whoever was at work once too often."""
        for trial in process.in_flight.values():
            trial.crashes += 1
            self._journal.died(trial.work, str(error))
            if trial.crashes >= MAX_CRASHES:
                advice = "no other recording is affected. Retry it with `sensory ingest --retry-failed`"
                self._answer(trial, type(error)(f"{error}, {trial.crashes} times in {self.stage}; {advice}"))
            else:
                self._suspects.append(trial)
        process.in_flight.clear()

    def _answer(self, trial: Trial, value: str | Terminal | Transient) -> None:
        seconds = time.monotonic() - trial.began
        answer = Answer(recording_id=trial.work.recording_id, value=value, seconds=seconds)
        self._answers.append((trial.work, answer))
