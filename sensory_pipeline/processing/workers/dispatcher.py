"""Recordings to the processes of a pool, as these ask for them, and what becomes of them back.

One thread drives everything: whoever asks for the answers of one stage hears what the processes of all of them say.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from socket import socket
from typing import assert_never

from sensory_pipeline.core.errors import ConfigurationError, Crashed, EngineError, EngineUnavailable
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.processing.workers.attempt import Attempt, Journal, TaskResult
from sensory_pipeline.processing.workers.messages import AboutTasks, Answered, Closed, Did, Failed, Ready, Want
from sensory_pipeline.processing.workers.pool import EnginePool
from sensory_pipeline.processing.workers.process import EngineProcess, State
from sensory_pipeline.processing.workers.stage_queue import StageQueue


class Dispatcher:
    """Belongs to one thread, which starts the processes: they die with it.

    wake: what another thread writes to when there is something besides the processes to see to.
    """

    def __init__(self, pool: EnginePool, *, wake: socket | None = None) -> None:
        self.pool = pool
        self._wake = wake
        self._queues: dict[EngineProcess, StageQueue] = {}
        """What each process works for, or was started for."""

    def run(
        self, stage: Stage, choice: int, attempts: Iterable[Attempt | None], journal: Journal
    ) -> Generator[TaskResult | None, None, None]:
        """Every recording's answer, in any order; attempts are pulled as processes come free.

        choice: which of the factory's engines do it. An attempt of None stands for a moment without one, an
        answer of None for a moment without an answer, so that the caller can see to other things, such as
        the answers of another stage. Raises ConfigurationError from an engine, EngineUnavailable when no
        process comes up.
        """
        queue = StageQueue(stage, choice, attempts, journal, ahead=self.pool.size(stage))
        try:
            while True:
                self._staff(queue)
                # all of them, since those who ask for another stage's hear answers for this one too
                while queue.answers:
                    yield queue.answers.popleft()[1]
                queue.check()
                if queue.complete and not queue.waiting() and not self._at_work(queue):
                    return
                self._listen()
                if not queue.answers:
                    yield None
        finally:
            self._release(queue)

    def _staff(self, queue: StageQueue) -> None:
        """Give processes that wait what there is, and take on more if that is too much for them."""
        for process in self._of(queue):
            if process.state is State.WAITING:
                self._hand_out(process, queue)
        waiting, mates = queue.waiting(), self.pool.of(queue.stage)
        if not waiting and not queue.complete:  # one gets ready while the first recording is under way to it
            waiting = int(not any(process.open for process in mates))
        idle = [process for process in mates if process.state is State.IDLE][:waiting]
        for process in idle:
            self._open(process, queue)
        starting = [process for process in mates if process.state is State.STARTING]
        for process in starting:
            self._queues.setdefault(process, queue)  # one that the stage before has left behind
        for _ in range(min(waiting - len(idle) - len(starting), self.pool.size(queue.stage) - len(mates))):
            self._queues[self.pool.start(queue.stage)] = queue

    def _of(self, queue: StageQueue) -> list[EngineProcess]:
        return [process for process, other in self._queues.items() if other is queue]

    def _at_work(self, queue: StageQueue) -> bool:
        return any(process.open for process in self._of(queue))

    def _release(self, queue: StageQueue) -> None:
        """Nobody asks for its answers any more."""
        for process in self._of(queue):
            queue.give_back(process.in_flight.values())
            if process.open:
                self._discard(process)
            else:
                del self._queues[process]
        queue.give_back_answers()

    def _discard(self, process: EngineProcess) -> None:
        self._queues.pop(process, None)
        self.pool.discard(process)

    def _open(self, process: EngineProcess, queue: StageQueue) -> None:
        self._queues[process] = queue
        try:
            process.open_stage(queue.stage, queue.choice, isolated=queue.quarantined_only)
        except OSError:  # it died while it had nothing to do, of which no recording is to blame
            self._discard(process)

    def _hand_out(self, process: EngineProcess, queue: StageQueue) -> None:
        """TaskResult its wish for a task."""
        isolated = process.state is State.ISOLATED
        attempt = None if process.state is State.ENDING else queue.take(isolated=isolated)
        if attempt is not None:
            try:
                process.hand(attempt)
            except OSError:  # we hear of its end with its next message
                queue.put_back(attempt, isolated=isolated)
        elif process.state in (State.SHARED, State.WAITING) and not queue.complete:
            process.wait()
        else:
            process.end_stage()

    def _listen(self) -> None:
        """Hear what processes have to say, for whichever stage; waits a moment for it."""
        for process, speaks in self.pool.listen(self._wake):
            queue = self._queues.get(process)
            try:
                if speaks:
                    self._hear(process, queue)
                elif queue is not None:
                    self._watch(process, queue)
            except Exception as error:
                if queue is None:
                    raise
                queue.fail(error)  # and not whoever listens now

    def _hear(self, process: EngineProcess, queue: StageQueue | None) -> None:
        try:
            message = process.hear()
        except (EOFError, OSError):
            cause = process.cause_of_death()
            if queue is not None:
                self._reap(process, queue, cause)
            else:  # it had nothing to do, so no recording is to blame
                self._discard(process)
            return
        match message:
            case Ready():
                process.set_up()
            case Did(activities=activities):
                self.pool.note(process, activities)
            case Want() | Answered() | Closed() | Failed():
                assert queue is not None, f"a process that works for no stage says {message}"
                self._hear_of_tasks(process, queue, message)
            case _:
                assert_never(message)

    def _hear_of_tasks(self, process: EngineProcess, queue: StageQueue, message: AboutTasks) -> None:
        match message:
            case Want():
                self._hand_out(process, queue)
            case Answered(recording_id=recording_id, outcome=outcome):
                queue.start_succeeded()
                queue.answer(process.in_flight.pop(recording_id), outcome)
            case Closed(cache=cache):
                process.close_stage(cache)
                # an engine that forgets a recording must not make the run wait for ever
                queue.blame(process.released(), EngineError("the engine gave no answer"))
            case Failed(error=error):
                self._hear_of_failure(process, queue, error)
            case _:
                assert_never(message)

    def _hear_of_failure(
        self, process: EngineProcess, queue: StageQueue, error: ConfigurationError | EngineError
    ) -> None:
        if isinstance(error, ConfigurationError):
            queue.fail(error)
            return
        if not process.in_flight:
            queue.fail(EngineUnavailable(f"{queue.stage} failed before it took a recording: {error}"))
        queue.blame(process.released(), error)
        self._discard(process)  # who knows in what state it is; a GPU's may fail on everything now

    def _watch(self, process: EngineProcess, queue: StageQueue) -> None:
        """A process has said nothing just now."""
        if process.state is State.IDLE:
            return
        silent_s = time.monotonic() - process.heard
        if silent_s > process.limit_s() and process.state is not State.WAITING:
            self._reap(process, queue, f"gave no sign of life for {silent_s:.0f} s")
        elif process.resident_bytes() > self.pool.memory_mb << 20:
            self._reap(process, queue, f"took more than {self.pool.memory_mb} MB of memory")

    def _reap(self, process: EngineProcess, queue: StageQueue, cause: str) -> None:
        """A process is dead, or is to be."""
        if not process.in_flight:
            queue.start_failed(cause)
        self._discard(process)
        queue.blame(process.released(), Crashed(f"the process working on it {cause}"))
