"""One stage over the recordings of one plan in one run: recordings without a stored result go through the engines."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version

from sensory_pipeline.core.errors import Abandoned, AudioTooLong, Crashed, Terminal, Transient
from sensory_pipeline.core.recordings import Partition, Recording
from sensory_pipeline.core.stages import READS, Stage
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.ledger_entries import Pending
from sensory_pipeline.lake.stage_store import StageResult, StageWriter
from sensory_pipeline.processing.plans import Plan
from sensory_pipeline.processing.runs.backlog import RETRY, duration_s, given_up, stage_results
from sensory_pipeline.processing.runs.context import Budget, RunContext
from sensory_pipeline.processing.runs.journal import AtWork, LedgerJournal
from sensory_pipeline.processing.runs.moved import Moved, sound_of
from sensory_pipeline.processing.runs.stage_task import stage_task
from sensory_pipeline.processing.tasks.task import Outcome
from sensory_pipeline.processing.workers.attempt import Attempt

VERSION = version("sensory-pipeline")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A recording that a stage has worked on.

    Attributes:
        recording: The recording.
        error: What it failed with; None if it succeeded.
    """

    recording: Recording
    error: Terminal | None


class StageRun:
    """A stage in progress.

    Attributes:
        plan: The plan of the stage.
        over: Whether it will produce nothing more.
        done: Recordings it has worked on.
        audio_s: Their seconds of audio.
        reused: Number of recordings that had a stored result.
        deferred: Number of recordings that could not be processed for now.
    """

    def __init__(
        self,
        lake: Lake,
        context: RunContext,
        plan: Plan,
        stage: Stage,
        pending: Sequence[Pending],
        *,
        partition: Partition,
        run_id: str,
        budget: Budget,
        at_work: AtWork,
        upstream: Mapping[Stage, StageRun],
    ) -> None:
        """Describe the work; `prepare` reads what is stored.

        Args:
            lake: The lake.
            context: Engines, plans and limits.
            plan: The plan of the recordings.
            stage: The stage.
            pending: The recordings.
            partition: Their partition.
            run_id: Dagster's run.
            budget: Audio of the run; a stage that reads no other stage checks it and adds to it.
            at_work: Shared by all stages of the run.
            upstream: The stages that it reads and that run beside it; results of others are read from the stage store.
        """
        self._lake = lake
        self._context = context
        self._whole = plan
        self.plan = plan.stages[stage]
        self._run_id = run_id
        self._budget = budget
        self._at_work = at_work
        self._upstream = upstream
        self._feeds: list[StageRun] = []
        for run in upstream.values():
            run._feeds.append(self)
        self._partition = partition
        self._pending = {item.recording.recording_id: item for item in pending}
        self._reads = tuple(read for read in plan.stages if read in READS[stage])
        self._inputs: dict[str, dict[Stage, StageResult]] = {identity: {} for identity in self._pending}
        self._known: dict[str, StageResult] = {}
        self._moved = Moved(lake, plan)
        self._found: deque[StageResult] = deque()
        """Under another uri, to be stored under this one."""
        self._ready: deque[str] = deque()
        self._given_up: deque[tuple[str, Terminal]] = deque()
        self.over = False
        self.done: list[Settled] = []
        self.audio_s = 0.0
        self.reused = 0
        self.deferred = 0

    def prepare(self) -> None:
        """Read what is stored; the stages that this one feeds must be prepared first."""
        pending = list(self._pending.values())
        self._known = stage_results(self._lake, self.plan, self._partition, pending)
        stored = {
            read: stage_results(self._lake, self._whole.stages[read], self._partition, pending)
            for read in self._reads
            if read not in self._upstream
        }
        for identity in self._pending:
            if not self._reads:
                self._consider(identity)
            for read, results in stored.items():
                if identity in results:
                    self.feed(read, results[identity], fresh=False)

    def feed(self, stage: Stage, result: StageResult, *, fresh: bool) -> None:
        """Take the result of an earlier stage for a recording.

        Args:
            stage: The earlier stage.
            result: Its result.
            fresh: Whether it was computed in this run.
        """
        if result.error_class is not None:
            return
        identity = result.recording_id
        if fresh:  # the earlier crashes are not due to this recording: it has just succeeded
            self._pending[identity] = replace(self._pending[identity], attempts=0, crashes=0, note=None)
        self._inputs[identity][stage] = result
        if len(self._inputs[identity]) == len(self._reads):
            self._consider(identity)

    def work(self) -> Iterator[None]:
        """Work until nothing more can come; pause after each step, so that other stages can take theirs."""
        try:
            with self._lake.stages.writer(self.plan.stage, self._partition, self._run_id) as writer:
                yield from self._work(writer)
        finally:
            self.over = True

    def _work(self, writer: StageWriter) -> Iterator[None]:
        recordings = {identity: item.recording for identity, item in self._pending.items()}
        journal = LedgerJournal(self.plan.stage, self._lake.ledger, recordings, self._at_work)
        run = self._context.dispatcher.run(self.plan.stage, self._whole.choice, self._attempts(), journal)
        with closing(run) as answers:
            for answer in answers:
                if answer is not None:
                    self._settle(writer, answer.recording_id, answer.outcome, answer.seconds)
                    continue
                self._settle_without_work(writer)
                writer.flush_when_due()
                yield
        self._settle_without_work(writer)

    def _settle_without_work(self, writer: StageWriter) -> None:
        while self._found:
            writer.add(self._found.popleft())
        while self._given_up:
            self._settle(writer, *self._given_up.popleft(), 0.0)

    def _consider(self, identity: str) -> None:
        """Decide what to do with a recording whose inputs are complete."""
        item = self._pending[identity]
        known = self._known.pop(identity, None)
        if known is None and (known := self._moved.result(self.plan.stage, item, self._inputs[identity])):
            self._found.append(known)
        if known is not None:
            self.reused += 1
            self._take_account(known)
            self._pass_on(known, fresh=False)
        elif (error := given_up(item)) is not None:
            self._given_up.append((identity, error))
        else:
            self._ready.append(identity)

    def _attempts(self) -> Iterator[Attempt | None]:
        while True:
            while self._ready:
                if not self._reads and self._budget.spent:
                    return
                identity = self._ready.popleft()
                item = self._pending[identity]
                task = stage_task(self._lake, self._context, self._whole, item.recording, self._inputs[identity])
                yield Attempt(task=task, quarantined=bool(item.attempts), crashes=item.crashes)
            if all(run.over for run in self._upstream.values()) and not self._ready:
                return
            yield None

    def _settle(self, writer: StageWriter, identity: str, outcome: Outcome, seconds: float) -> None:
        recording = self._pending[identity].recording
        if isinstance(outcome, Transient):
            self._at_work.ended(identity, self.plan.stage)
            self._lake.ledger.attempts.deferred(recording, str(outcome))
            self.deferred += 1
            return
        result = self._result(recording, outcome, seconds)
        writer.add(result)
        if self._at_work.ended(identity, self.plan.stage):
            self._lake.ledger.attempts.progressed(recording, sound=None if self._reads else sound_of(result))
        self._take_account(result)
        decoded = self._inputs[identity].get(Stage.NORMALIZED_AUDIO, result)
        self.audio_s += duration_s(decoded)
        self.done.append(Settled(recording=recording, error=outcome if isinstance(outcome, Terminal) else None))
        self._pass_on(result, fresh=True)
        self._context.progress(self.plan.stage, identity)

    def _take_account(self, result: StageResult) -> None:
        if not self._reads:
            self._budget.taken_s += duration_s(result)

    def _pass_on(self, result: StageResult, *, fresh: bool) -> None:
        self._inputs[result.recording_id].clear()  # free the memory
        for run in self._feeds:
            run.feed(self.plan.stage, result, fresh=fresh)

    def _result(self, recording: Recording, outcome: str | Terminal, seconds: float) -> StageResult:
        failed = isinstance(outcome, Terminal)
        return StageResult(
            recording_id=recording.recording_id,
            version=recording.version,
            fingerprint=self.plan.fingerprint,
            payload=None if failed else str(outcome),
            error_class=type(outcome).__name__ if failed else None,
            error_message=_advised(outcome) if isinstance(outcome, Terminal) else None,
            engine=self.plan.info.engine,
            model=self.plan.info.model,
            revision=self.plan.info.revision,
            settings=self.plan.settings,
            device=self.plan.info.device,
            run_id=self._run_id,
            pipeline_version=VERSION,
            seconds=seconds,
            made_at=datetime.now(UTC).replace(tzinfo=None),
        )


def _advised(error: Terminal) -> str:
    """Return the message of an error, with what a lake can do about it."""
    return f"{error}; {RETRY}" if isinstance(error, Abandoned | AudioTooLong | Crashed) else str(error)
