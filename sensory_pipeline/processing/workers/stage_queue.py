"""The recordings of one stage: those that wait for a process, and what the others came to.

When a process dies, hangs or grows too large, what it was working on is quarantined and tried again
alone, after everything else, so that only the guilty one is blamed again; after three times it is given up.
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
"""Times a recording may kill or hang its process before it is given up."""
MAX_FAILED_STARTS = 3
"""Times in a row a process may die before it takes any task."""


class StageQueue:
    """complete: nothing more is coming in; answers: those that nobody has taken yet.

    choice: which of the factory's engines do it; ahead: how many recordings are taken in before there is a
    process for them.
    """

    def __init__(
        self, stage: Stage, choice: int, attempts: Iterable[Attempt | None], journal: Journal, *, ahead: int
    ) -> None:
        self.stage = stage
        self.choice = choice
        self.complete = False
        self.answers: deque[tuple[StageTask, TaskResult]] = deque()
        self._journal = journal
        self._incoming = iter(attempts)
        self._ahead = ahead
        self._fresh: deque[Attempt] = deque()
        self._quarantined: deque[Attempt] = deque()
        self._error: Exception | None = None
        self._failed_starts = 0

    @property
    def quarantined_only(self) -> bool:
        """Whether all that is left has to be tried alone."""
        return self.complete and not self._fresh

    def waiting(self) -> int:
        """How many recordings could be handed out now, as far as it pays to look ahead."""
        while not self.complete and len(self._fresh) < self._ahead:
            try:
                attempt = next(self._incoming)
            except StopIteration:
                self.complete = True
                break
            if attempt is None:
                break
            (self._quarantined if attempt.quarantined else self._fresh).append(attempt)
        # the quarantined come last and alone, so that a second death has only one to blame
        return len(self._fresh) + (len(self._quarantined) if self.complete else 0)

    def take(self, *, isolated: bool) -> Attempt | None:
        """The next one for a process, None where there is none."""
        self.waiting()
        line = self._quarantined if isolated else self._fresh
        if not line:
            return None
        attempt = line.popleft()
        self._journal.started(attempt.task)
        attempt.began = time.monotonic()
        return attempt

    def put_back(self, attempt: Attempt, *, isolated: bool) -> None:
        """What was taken has reached no process."""
        self._journal.returned(attempt.task)
        (self._quarantined if isolated else self._fresh).appendleft(attempt)

    def answer(self, attempt: Attempt, outcome: Outcome) -> None:
        """What a recording came to."""
        seconds = time.monotonic() - attempt.began
        answer = TaskResult(recording_id=attempt.task.recording_id, outcome=outcome, seconds=seconds)
        self.answers.append((attempt.task, answer))

    def blame(self, attempts: Iterable[Attempt], error: Terminal) -> None:
        """Quarantine what was at work in a process that failed; give up whoever was once too often."""
        for attempt in attempts:
            attempt.crashes += 1
            self._journal.died(attempt.task, str(error))
            if attempt.crashes >= MAX_CRASHES:
                advice = "no other recording is affected. Retry it with `sensory ingest --retry-failed`"
                self.answer(attempt, type(error)(f"{error}, {attempt.crashes} times in {self.stage}; {advice}"))
            else:
                self._quarantined.append(attempt)

    def give_back(self, attempts: Iterable[Attempt]) -> None:
        """What was at work stays undone, for a reason that is not its own."""
        for attempt in attempts:
            self._journal.returned(attempt.task)

    def give_back_answers(self) -> None:
        """Nobody takes what is left of the answers."""
        for task, _ in self.answers:
            self._journal.returned(task)

    def start_succeeded(self) -> None:
        """A process has answered."""
        self._failed_starts = 0

    def start_failed(self, cause: str) -> None:
        """A process has died before it took a recording."""
        self._failed_starts += 1
        if self._failed_starts >= MAX_FAILED_STARTS:
            self.fail(
                EngineUnavailable(
                    f"the engine process {cause} before it took a recording, {MAX_FAILED_STARTS} times in a row; "
                    "its output above says why"
                )
            )

    def fail(self, error: Exception) -> None:
        """Let the whole stage fail with this, where its answers are asked for."""
        self._error = error

    def check(self) -> None:
        """Raises what the stage failed with."""
        if self._error is not None:
            raise self._error
