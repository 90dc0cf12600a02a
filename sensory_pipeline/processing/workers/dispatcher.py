"""Assigns recordings to the processes of a pool, and returns their results.

One thread does everything: a caller that waits for results of one stage also receives the messages of all other
stages.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterable
from socket import socket
from typing import assert_never

from sensory_pipeline.core.errors import ConfigurationError, Crashed, EngineError, EngineUnavailable
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.processing.workers.attempt import Attempt, Journal, TaskResult
from sensory_pipeline.processing.workers.messages import AboutTasks, Answered, Closed, Did, Failed, Ready, Want
from sensory_pipeline.processing.workers.pool import POLL_S, EnginePool
from sensory_pipeline.processing.workers.process_handle import EngineProcess, State
from sensory_pipeline.processing.workers.stage_queue import StageQueue

log = logging.getLogger(__name__)


class Dispatcher:
    """Belongs to one thread."""

    def __init__(self, pool: EnginePool, *, wake: socket | None = None) -> None:
        """Dispatch to the processes of a pool.

        Args:
            pool: The pool.
            wake: Another thread writes to it when there is new work.
        """
        self.pool = pool
        self._wake = wake
        self._queues: dict[EngineProcess, StageQueue] = {}
        """The stage that each process works on or was started for."""

    def run(
        self,
        stage: Stage,
        choice: int,
        attempts: Iterable[Attempt | None],
        journal: Journal,
        *,
        quarantined_last: bool = True,
    ) -> Generator[TaskResult | None, None, None]:
        """Run a stage; attempts are read when processes become free.

        Args:
            stage: The stage.
            choice: Number of the set of engines that does it.
            attempts: The recordings; None if there is none at the moment.
            journal: Records what happens to each recording.
            quarantined_last: Whether recordings whose process died are tried again after all others, or else before
                them.

        Yields:
            The result of each recording, in any order; None when there is none at the moment, so that the caller can do
            something else, such as read the results of another stage.

        Raises:
            ConfigurationError: An engine refuses its settings.
            EngineUnavailable: No process starts.
        """
        ahead = self.pool.size(stage)
        queue = StageQueue(stage, choice, attempts, journal, ahead=ahead, quarantined_last=quarantined_last)
        try:
            while True:
                self._staff(queue)
                # all of them: a call for another stage may have received results of this one too
                while queue.results:
                    yield queue.results.popleft()[1]
                queue.check()
                if queue.complete and not queue.waiting() and not self._at_work(queue):
                    return
                self.listen()
                if not queue.results:
                    yield None
        finally:
            self._release(queue)

    def _staff(self, queue: StageQueue) -> None:
        """Hand recordings to waiting processes, and start more processes if these are too few."""
        for process in self._of(queue):
            if process.state is State.WAITING:
                self._hand_out(process, queue)
        waiting, mates = queue.waiting(), self.pool.of(queue.stage)
        if not waiting and not queue.complete:  # start a process while the first recording is still in an earlier stage
            waiting = int(not any(process.open for process in mates))
        idle = [process for process in mates if process.state is State.IDLE][:waiting]
        for process in idle:
            self._open(process, queue)
        starting = [process for process in mates if process.state is State.STARTING]
        for process in starting:
            self._queues.setdefault(process, queue)  # it was started for an earlier stage
        for _ in range(min(waiting - len(idle) - len(starting), self.pool.room(queue.stage))):
            self._queues[self.pool.start(queue.stage)] = queue

    def _of(self, queue: StageQueue) -> list[EngineProcess]:
        return [process for process, other in self._queues.items() if other is queue]

    def _at_work(self, queue: StageQueue) -> bool:
        return any(process.open for process in self._of(queue))

    def _release(self, queue: StageQueue) -> None:
        """Stop working on a stage whose results are no longer wanted."""
        for process in self._of(queue):
            queue.give_back(process.in_flight.values())
            if process.open:
                self._discard(process)
            else:
                del self._queues[process]
        queue.give_back_results()

    def _discard(self, process: EngineProcess) -> None:
        self._queues.pop(process, None)
        self.pool.discard(process)

    def _open(self, process: EngineProcess, queue: StageQueue) -> None:
        self._queues[process] = queue
        try:
            process.open_stage(queue.stage, queue.choice, isolated=queue.quarantined_next)
        except OSError:  # it died while idle, so no recording is to blame
            self._discard(process)

    def _hand_out(self, process: EngineProcess, queue: StageQueue) -> None:
        """Reply to a process that has asked for a task."""
        isolated = process.state is State.ISOLATED
        attempt = None if process.state is State.ENDING else queue.take(isolated=isolated)
        if attempt is not None:
            try:
                process.hand(attempt)
            except OSError:  # its death is noticed with its next message
                queue.put_back(attempt, isolated=isolated)
        elif process.state in (State.SHARED, State.WAITING) and not queue.complete:
            process.wait()
        else:
            process.end_stage()

    def listen(self, wait_s: float = POLL_S) -> None:
        """Receive messages of all stages; wait for one, or to be woken, for at most `wait_s` seconds."""
        for process, speaks in self.pool.listen(self._wake, wait_s):
            queue = self._queues.get(process)
            try:
                if speaks:
                    self._hear(process, queue)
                elif queue is not None:
                    self._watch(process, queue)
            except Exception as error:
                if queue is not None:
                    queue.fail(error)  # raised where this stage's results are read, not where the message was received
                else:  # it had no work, so no stage is to blame
                    log.exception("cannot read a message of the engine process %s on %s", process.lane, process.device)
                    self._discard(process)

    def _hear(self, process: EngineProcess, queue: StageQueue | None) -> None:
        try:
            message = process.hear()
        except (EOFError, OSError):
            cause = process.cause_of_death()
            if queue is not None:
                self._reap(process, queue, cause)
            else:  # it had no work, so no recording is to blame
                log.info("the engine process %s on %s %s", process.lane, process.device, cause)
                self._discard(process)
            return
        match message:
            case Ready(error=ConfigurationError() as error) if self.pool.dispensable(process):
                log.warning("the engine process %s cannot use %s: %s", process.lane, process.device, error)
                self._discard(process)
            case Ready(cache=cache):  # if it has an error, its first task will report it
                process.set_up(cache)
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
                # otherwise the run would wait for ever for a recording that the engine has lost
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
        self._discard(process)  # its state is unknown; on a GPU it might fail on everything from now on

    def _watch(self, process: EngineProcess, queue: StageQueue) -> None:
        """Kill a process that has been silent for too long or has become too large."""
        if process.state is State.IDLE:
            return
        silent_s = time.monotonic() - process.heard
        if silent_s > process.limit_s() and process.state is not State.WAITING:
            self._reap(process, queue, f"gave no sign of life for {silent_s:.0f} s")
        elif process.resident_bytes() > self.pool.memory_mb << 20:
            self._reap(process, queue, f"took more than {self.pool.memory_mb} MB of memory")

    def _reap(self, process: EngineProcess, queue: StageQueue, cause: str) -> None:
        """Remove a process that is dead or must end."""
        log.info("the engine process %s on %s %s", process.lane, process.device, cause)
        if not process.in_flight and not self.pool.dispensable(process):
            queue.start_failed(cause)
        self._discard(process)
        queue.blame(process.released(), Crashed(f"the process working on it {cause}"))
