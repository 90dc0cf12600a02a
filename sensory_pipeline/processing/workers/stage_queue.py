"""The recordings of one stage: those that wait for a process, and the results of the others.

When a process dies, hangs or grows too large, the recordings that it was working on are quarantined. They are tried
again one by one, so that only the one that caused the crash is blamed again; after three crashes it is given up. A run
tries them after all others. A service tries them next, since somebody waits for each, and there may always be others.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

from sensory_pipeline.core.errors import EngineUnavailable, Terminal
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.processing.tasks.task import Outcome, StageTask
from sensory_pipeline.processing.workers.attempt import Attempt, Journal, TaskResult

MAX_CRASHES = 3
"""A recording that has crashed or hung its process this often is given up."""
MAX_FAILED_STARTS = 3
"""The stage fails after so many processes in a row have died before they took a task."""


class StageQueue:
    """The queue of one stage.

    Attributes:
        stage: The stage.
        choice: Number of the set of engines that does it.
        complete: Whether no more recordings will come.
        results: Results that nobody has read yet.
    """

    def __init__(
        self,
        stage: Stage,
        choice: int,
        attempts: Iterable[Attempt | None],
        journal: Journal,
        *,
        ahead: int,
        quarantined_last: bool,
    ) -> None:
        """Read the recordings of a stage.

        Args:
            stage: The stage.
            choice: Number of the set of engines that does it.
            attempts: The recordings; None if there is none at the moment.
            journal: Records what happens to each recording.
            ahead: How many recordings are read before a process is free for them.
            quarantined_last: Whether quarantined recordings are tried after all others, or else before them.
        """
        self.stage = stage
        self.choice = choice
        self.complete = False
        self.results: deque[tuple[StageTask, TaskResult]] = deque()
        self._journal = journal
        self._incoming = iter(attempts)
        self._ahead = ahead
        self._quarantined_last = quarantined_last
        self._fresh: deque[Attempt] = deque()
        self._quarantined: deque[Attempt] = deque()
        self._error: Exception | None = None
        self._failed_starts = 0

    @property
    def quarantined_next(self) -> bool:
        """Whether the next process gets a quarantined recording."""
        return self._may_try_quarantined and bool(self._quarantined) and not (self._quarantined_last and self._fresh)

    def waiting(self) -> int:
        """Return how many recordings could be handed out now, up to the number that is read ahead."""
        while not self.complete and len(self._fresh) < self._ahead:
            try:
                attempt = next(self._incoming)
            except StopIteration:
                self.complete = True
                break
            if attempt is None:
                break
            (self._quarantined if attempt.quarantined else self._fresh).append(attempt)
        return len(self._fresh) + (len(self._quarantined) if self._may_try_quarantined else 0)

    @property
    def _may_try_quarantined(self) -> bool:
        return self.complete or not self._quarantined_last

    def take(self, *, isolated: bool) -> Attempt | None:
        """Return the next recording for a process; None if there is none."""
        self.waiting()
        line = self._quarantined if isolated else self._fresh
        if not line:
            return None
        attempt = line.popleft()
        self._journal.started(attempt.task)
        attempt.began = time.monotonic()
        return attempt

    def put_back(self, attempt: Attempt, *, isolated: bool) -> None:
        """Put back a recording that did not reach its process."""
        self._journal.returned(attempt.task)
        (self._quarantined if isolated else self._fresh).appendleft(attempt)

    def answer(self, attempt: Attempt, outcome: Outcome) -> None:
        """Store the outcome of a recording."""
        seconds = time.monotonic() - attempt.began
        answer = TaskResult(recording_id=attempt.task.recording_id, outcome=outcome, seconds=seconds)
        self.results.append((attempt.task, answer))

    def blame(self, attempts: Iterable[Attempt], error: Terminal) -> None:
        """Quarantine the recordings of a process that failed; give up those that have crashed too often."""
        for attempt in attempts:
            attempt.crashes += 1
            self._journal.died(attempt.task, str(error))
            if attempt.crashes >= MAX_CRASHES:
                advice = "no other recording is affected. Convert it to wav and try that"
                self.answer(attempt, type(error)(f"{error}, {attempt.crashes} times in {self.stage}; {advice}"))
            else:
                self._quarantined.append(attempt)

    def give_back(self, attempts: Iterable[Attempt]) -> None:
        """Note that work was stopped, for a reason that has nothing to do with the recordings."""
        for attempt in attempts:
            self._journal.returned(attempt.task)

    def give_back_results(self) -> None:
        """Note that results will not be read."""
        for task, _ in self.results:
            self._journal.returned(task)

    def start_succeeded(self) -> None:
        """Note that a process has answered."""
        self._failed_starts = 0

    def start_failed(self, cause: str) -> None:
        """Count a process that died before it took a recording."""
        self._failed_starts += 1
        if self._failed_starts >= MAX_FAILED_STARTS:
            self.fail(
                EngineUnavailable(
                    f"the engine process {cause} before it took a recording, {MAX_FAILED_STARTS} times in a row; "
                    "its output above says why"
                )
            )

    def fail(self, error: Exception) -> None:
        """Let the whole stage fail with this error, raised where its results are read; the first error counts."""
        self._error = self._error or error

    def check(self) -> None:
        """Raise the error that the stage failed with, if any."""
        if self._error is not None:
            raise self._error
