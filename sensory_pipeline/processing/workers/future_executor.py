"""Engine processes for many threads at once: each submits tasks and gets futures, and all share the processes."""

from __future__ import annotations

import multiprocessing.connection
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from socket import socketpair
from threading import Lock, Thread
from typing import Self

from sensory_pipeline.core.errors import ConfigurationError, EngineUnavailable
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.cache_stats import CacheStats
from sensory_pipeline.processing.tasks.task import StageTask
from sensory_pipeline.processing.workers.attempt import Attempt
from sensory_pipeline.processing.workers.dispatcher import Dispatcher
from sensory_pipeline.processing.workers.pool import EnginePool


@dataclass(frozen=True, slots=True)
class _Submission:
    task: StageTask
    future: Future[str]


_IDLE_S = 1.0
"""Seconds after which an idle executor looks whether a process is missing."""

_MOST_TASKS = 16
"""Tasks of a batch, some batches of a transcriber. After them, processes also go to what else waits for the stage."""

_Line = deque[_Submission]
"""Tasks that wait for one stage and one choice of engines."""


class EngineExecutor:
    """A thread that owns a dispatcher and works on what other threads submit; use it in a `with`."""

    def __init__(self, pool: EnginePool) -> None:
        """Use a pool, which nobody else may use."""
        self._pool = pool
        self._lines: dict[tuple[Stage, int], _Line] = {}
        self._lock = Lock()
        self._closed = False
        self._woken, self._waker = socketpair()
        self._waker.setblocking(False)
        self._thread = Thread(target=self._serve, name="engine executor", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes; tasks without a result fail with EngineUnavailable."""
        with self._lock:
            self._closed = True
        self._wake()
        self._thread.join()
        self._woken.close()
        self._waker.close()

    @property
    def closed(self) -> bool:
        """Whether it accepts no more tasks."""
        return self._closed

    def size(self, stage: Stage) -> int:
        """Return how many processes can work on a stage at once."""
        return self._pool.size(stage)

    @property
    def caches(self) -> dict[str, tuple[CacheStats, ...]]:
        """Model cache statistics of the processes of each device, by its name; any thread may read them.

        They are as of the last time that each process finished its work on a stage.
        """
        return self._pool.caches_by_device

    def submit(self, stage: Stage, choice: int, task: StageTask) -> Future[str]:
        """Run one stage on one recording; any thread may call this.

        Args:
            stage: The stage.
            choice: Number of the pool's set of engines that does it.
            task: The recording. Its `recording_id` need not be unique.

        Returns:
            The future result as JSON. It raises the recording's error (Terminal or Transient), the engine's
            ConfigurationError, or EngineUnavailable if no process starts or the executor is closed.

        Raises:
            EngineUnavailable: The executor is closed.
        """
        future: Future[str] = Future()
        with self._lock:
            if self._closed:
                raise EngineUnavailable("the engines are closed")
            self._lines.setdefault((stage, choice), deque()).append(_Submission(task, future))
        self._wake()
        return future

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # it has been woken often enough
            self._waker.send(b"\0")

    def _serve(self) -> None:
        dispatcher = Dispatcher(self._pool, wake=self._woken)
        batches: list[_Batch] = []
        try:
            while not self._closed:
                self._pool.stand_by()
                batches += self._begun(dispatcher, batches)
                for batch in list(batches):
                    batches += batch.step()
                batches = [batch for batch in batches if not batch.over]
                self._pool.timeline()  # it would grow, and nobody draws it
                self._pause(dispatcher, idle=not batches)
        finally:
            with self._lock:
                self._closed = True
            with ExitStack() as ends:  # all of them, even if one raises; the last is called first
                for line in self._lines.values():
                    ends.callback(_close, line)
                ends.callback(self._pool.close)
                for batch in batches:
                    ends.callback(batch.close)

    def _begun(self, dispatcher: Dispatcher, batches: list[_Batch]) -> list[_Batch]:
        """Begin a batch for each line that has tasks and no batch that takes them."""
        with self._lock:
            lines = list(self._lines.items())
        taken = {id(batch.line) for batch in batches if batch.takes}
        return [_Batch(dispatcher, *key, line) for key, line in lines if line and id(line) not in taken]

    def _pause(self, dispatcher: Dispatcher, *, idle: bool) -> None:
        """Clear the wake-up signal; if idle, wait for the next one or for a process, unless tasks are waiting."""
        with self._lock:  # a failed batch may have left tasks in its line
            idle = idle and not any(self._lines.values())
        if idle:
            dispatcher.listen(wait_s=_IDLE_S)
        if multiprocessing.connection.wait([self._woken], timeout=0):
            self._woken.recv(4096)


class _Batch:
    """The next tasks of one line, until it is empty: an engine that waits for more tasks would return no results.

    Tasks that are submitted while the last ones are in progress go to the next batch, which does not wait for this one.
    """

    def __init__(self, dispatcher: Dispatcher, stage: Stage, choice: int, line: _Line) -> None:
        self.line = line
        self.takes = True
        self.over = False
        self._dispatcher, self._stage, self._choice = dispatcher, stage, choice
        self._open: dict[str, _Submission] = {}
        self._answers = dispatcher.run(stage, choice, self._attempts(), _Silent(), quarantined_last=False)

    def step(self) -> list[_Batch]:
        """Handle the next result; return new batches that continue with what this one could not finish."""
        try:
            answer = next(self._answers)
        except StopIteration:
            self.over = True
            return []
        except Exception as error:  # noqa: BLE001 - it is passed on to those who wait for the results
            self.over = True
            return self._failed(error)
        if answer is not None:
            future = self._open.pop(answer.recording_id).future
            if isinstance(answer.outcome, str):
                future.set_result(answer.outcome)
            else:
                future.set_exception(answer.outcome)
        return []

    def close(self) -> None:
        """Stop; what is unfinished fails."""
        try:
            self._answers.close()
        finally:
            _close(self._open.values())
            _close(self.line)
            self.line.clear()

    def _attempts(self) -> Iterator[Attempt]:
        taken = 0
        while self.line and taken < _MOST_TASKS:
            submission = self.line.popleft()
            if _wanted(submission):
                identity, taken = str(taken), taken + 1
                self._open[identity] = submission
                yield Attempt(task=replace(submission.task, recording_id=identity), quarantined=False, crashes=0)
        self.takes = False

    def _failed(self, error: Exception) -> list[_Batch]:
        """Fail all tasks, or try each alone to find the one whose settings the engine refuses."""
        unanswered = list(self._open.values())
        self._open.clear()
        if isinstance(error, ConfigurationError) and len(unanswered) > 1:
            return [_Batch(self._dispatcher, self._stage, self._choice, deque([one])) for one in unanswered]
        for submission in unanswered:
            submission.future.set_exception(error)
        return []


def _wanted(submission: _Submission) -> bool:
    """Return whether the caller still wants the result; from now on, the caller cannot cancel it."""
    return submission.future.running() or submission.future.set_running_or_notify_cancel()


def _close(submissions: Iterable[_Submission]) -> None:
    for submission in submissions:
        if _wanted(submission):
            submission.future.set_exception(EngineUnavailable("the engines were closed before this was done"))


class _Silent:
    """A journal that does nothing: those who submit tasks learn the outcome from their futures."""

    def started(self, task: StageTask) -> None: ...

    def died(self, task: StageTask, cause: str) -> None: ...

    def returned(self, task: StageTask) -> None: ...
