"""One stage over one partition: what is pending and not done yet goes through the engines.

Every asset calls `run_stage` with its stage, or `publish_partition`; both hold the partition's
lease, so two runs on the same partition take turns and the second finds the work done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import accumulate, chain

from sensory_pipeline.core.errors import Abandoned, Crashed, EngineError, Terminal, Transient
from sensory_pipeline.core.recordings import Partition, Recording
from sensory_pipeline.core.stages import READS, Stage, engines_at_fault, fingerprint
from sensory_pipeline.engines.cache import CacheStats
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.ledger import MAX_ATTEMPTS, Ledger, Pending
from sensory_pipeline.lake.stage_store import StageResult
from sensory_pipeline.processing.payloads import FACTS
from sensory_pipeline.processing.plan import Plan, StagePlan
from sensory_pipeline.processing.pool import MAX_CRASHES, EnginePool, Trial
from sensory_pipeline.processing.work import Source, Work

VERSION = version("sensory-pipeline")
ENGINE_FAULTS = (Crashed.__name__, EngineError.__name__, Abandoned.__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one recording, or one run, may take. Hours and seconds of audio, seconds of silence."""

    run_audio_hours: float
    max_audio_hours: float
    recording_timeout_s: float
    audio_cache_gb: float

    def silence_s(self, duration_s: float) -> float:
        """Seconds without a sign of life after which an engine counts as hung on a recording."""
        return self.recording_timeout_s + 10 * duration_s

    def decoding_s(self, size_bytes: int) -> float:
        """The same for decoding, where nobody knows the duration yet: a slow network gives 1 MB a second,
        and decoding takes as long again."""
        return self.recording_timeout_s + size_bytes / 5e5


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """What does the work, and how. progress: told (stage, recording_id) as each recording is done."""

    pool: EnginePool
    plan: Plan
    limits: Limits
    progress: Callable[[Stage, str], None] = lambda _stage, _recording: None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageReport:
    """What one stage did in one run: counts of recordings, seconds of audio and of work.

    audio_s: of what was worked on; fault: what the first engine to fail said; caches: of the models
    in each engine process, counted since it began, empty without models.
    """

    stage: Stage
    computed: int
    reused: int
    failed: int
    engine_faults: int
    fault: str | None
    deferred: int
    audio_s: float
    seconds: float
    engine: str
    device: str
    caches: tuple[CacheStats, ...]


def run_stage(lake: Lake, processor: Processor, stage: Stage, partition: Partition, run_id: str) -> StageReport:
    """Bring the stage up to date for a run's share of what is pending in the partition.

    Results and errors go to the stage store; a recording whose earlier stage failed is left out.
    """
    with lake.lease(partition):
        lake.ledger.catch_up(lake.manifest(partition))
        return _StageRun(lake, processor, processor.plan.stages[stage], partition, run_id).run()


def stage_results(
    lake: Lake, plan: StagePlan, partition: Partition, pending: Sequence[Pending]
) -> dict[str, StageResult]:
    """What the stage store holds under this plan of a stage, by recording.

    A failure from before the moment somebody asked for another try does not count.
    """
    wanted = {p.recording.recording_id: (p.recording.version, plan.fingerprint) for p in pending}
    forgiven = {p.recording.recording_id: p.forgive_before for p in pending}
    found = lake.stages.read(plan.stage, partition, wanted)
    return {
        identity: result
        for identity, result in found.items()
        if result.error_class is None or (since := forgiven[identity]) is None or result.made_at > since
    }


def share(lake: Lake, processor: Processor, partition: Partition) -> tuple[Pending, ...]:
    """What of the pending one run takes, in order of first sight: by the hours of audio that are
    known, and all whose hours are not known yet."""
    pending = lake.ledger.pending(partition)
    plan = processor.plan.stages[Stage.NORMALIZED_AUDIO]
    decoded = stage_results(lake, plan, partition, pending)
    hours = accumulate(
        _duration_s(result) / 3600 if (result := decoded.get(item.recording.recording_id)) else 0.0 for item in pending
    )
    before = chain([0.0], hours)
    return tuple(item for item, sum_h in zip(pending, before, strict=False) if sum_h < processor.limits.run_audio_hours)


class _StageRun:
    def __init__(self, lake: Lake, processor: Processor, plan: StagePlan, partition: Partition, run_id: str) -> None:
        self._lake = lake
        self._processor = processor
        self._plan = plan
        self._partition = partition
        self._run_id = run_id
        self._taken_s = 0.0  # of audio, known in this run

    def run(self) -> StageReport:
        began = time.monotonic()
        pending = list(share(self._lake, self._processor, self._partition))
        upstream = self._upstream(pending)
        if upstream is not None:
            pending = [p for p in pending if p.recording.recording_id in upstream]
        known = stage_results(self._lake, self._plan, self._partition, pending)
        if upstream is None:
            self._taken_s = sum(_duration_s(result) for result in known.values())
        todo = [p for p in pending if p.recording.recording_id not in known]
        made: list[StageResult] = []
        deferred = 0
        recordings = {p.recording.recording_id: p.recording for p in pending}
        with self._lake.stages.writer(self._plan.stage, self._partition, self._run_id) as writer:
            for answered in self._answers(todo, upstream):
                if answered is None:
                    writer.flush_when_due()
                    continue
                identity, answer, seconds = answered
                recording = recordings[identity]
                if isinstance(answer, Transient):
                    self._lake.ledger.deferred(recording, str(answer))
                    deferred += 1
                    continue
                result = self._result(recording, answer, seconds)
                writer.add(result)
                self._lake.ledger.progressed(recording)
                if upstream is None:
                    self._taken_s += _duration_s(result)
                made.append(replace(result, payload=None if upstream is not None else result.payload))
                self._processor.progress(self._plan.stage, identity)
        faults = [result for result in made if result.error_class in ENGINE_FAULTS]
        if engines_at_fault(len(made), len(faults)):
            self._lake.ledger.forgive(recordings[result.recording_id] for result in faults)
        return StageReport(
            stage=self._plan.stage,
            computed=len(made),
            reused=len(known),
            failed=sum(result.error_class is not None for result in made),
            engine_faults=len(faults),
            fault=faults[0].error_message if faults else None,
            deferred=deferred,
            audio_s=sum(
                _duration_s(result if upstream is None else upstream[result.recording_id][Stage.NORMALIZED_AUDIO])
                for result in made
            ),
            seconds=time.monotonic() - began,
            engine=f"{self._plan.info.engine} {self._plan.info.model}",
            device=self._plan.info.device,
            caches=self._processor.pool.caches,
        )

    def _upstream(self, pending: list[Pending]) -> dict[str, dict[Stage, StageResult]] | None:
        """Results of the stages this one reads, of the recordings for which all went well."""
        before = [s for s in self._processor.plan.stages if s in READS[self._plan.stage]]
        if not before:
            return None
        plans = self._processor.plan.stages
        results = {s: stage_results(self._lake, plans[s], self._partition, pending) for s in before}
        return {
            identity: {s: results[s][identity] for s in before}
            for identity in (p.recording.recording_id for p in pending)
            if all((found := results[s].get(identity)) and found.error_class is None for s in before)
        }

    def _answers(
        self, todo: list[Pending], upstream: dict[str, dict[Stage, StageResult]] | None
    ) -> Iterator[tuple[str, str | Terminal | Transient, float] | None]:
        able: list[Pending] = []
        for item in todo:
            if (error := _given_up(item)) is not None:
                yield item.recording.recording_id, error, 0.0
            else:
                able.append(item)
        journal = _LedgerJournal(self._lake.ledger, {p.recording.recording_id: p.recording for p in able})
        for answer in self._processor.pool.run(self._plan.stage, self._trials(able, upstream), journal):
            yield (answer.recording_id, answer.value, answer.seconds) if answer else None

    def _trials(self, todo: list[Pending], upstream: dict[str, dict[Stage, StageResult]] | None) -> Iterator[Trial]:
        for item in todo:
            if upstream is None and self._taken_s >= self._processor.limits.run_audio_hours * 3600:
                return
            results = upstream[item.recording.recording_id] if upstream is not None else {}
            yield Trial(work=self._work(item.recording, results), suspect=bool(item.attempts), crashes=item.crashes)

    def _work(self, recording: Recording, results: dict[Stage, StageResult]) -> Work:
        limits = self._processor.limits
        decoded = results.get(Stage.NORMALIZED_AUDIO)
        transcript, diarization = results.get(Stage.TRANSCRIPTS), results.get(Stage.DIARIZATION)
        audio = fingerprint(
            {
                "version": recording.version,
                "audio": self._processor.plan.stages[Stage.NORMALIZED_AUDIO].fingerprint,
            }
        )
        return Work(
            recording_id=recording.recording_id,
            source=Source(
                uri=recording.uri,
                version=recording.version,
                decoded=self._lake.audio / f"{recording.recording_id}-{audio}.wav",
                max_duration_s=limits.max_audio_hours * 3600,
                stereo=self._processor.plan.request.stereo,
            ),
            request=self._processor.plan.request,
            limit_s=limits.silence_s(_duration_s(decoded)) if decoded else limits.decoding_s(recording.size_bytes),
            transcript=transcript.payload if transcript else None,
            diarization=diarization.payload if diarization else None,
        )

    def _result(self, recording: Recording, answer: str | Terminal, seconds: float) -> StageResult:
        failed = isinstance(answer, Terminal)
        return StageResult(
            recording_id=recording.recording_id,
            version=recording.version,
            fingerprint=self._plan.fingerprint,
            payload=None if failed else str(answer),
            error_class=type(answer).__name__ if failed else None,
            error_message=str(answer) if failed else None,
            engine=self._plan.info.engine,
            model=self._plan.info.model,
            revision=self._plan.info.revision,
            settings=self._plan.settings,
            device=self._plan.info.device,
            run_id=self._run_id,
            pipeline_version=VERSION,
            seconds=seconds,
            made_at=datetime.now(UTC).replace(tzinfo=None),
        )


@dataclass(frozen=True, slots=True)
class _LedgerJournal:
    ledger: Ledger
    recordings: dict[str, Recording]

    def started(self, work: Work) -> None:
        self.ledger.started(self.recordings[work.recording_id])

    def died(self, work: Work, cause: str) -> None:
        self.ledger.crashed(self.recordings[work.recording_id], cause)

    def returned(self, work: Work) -> None:
        self.ledger.returned(self.recordings[work.recording_id])


def _given_up(item: Pending) -> Terminal | None:
    if item.crashes >= MAX_CRASHES:
        return Crashed(f"{item.note}, {item.crashes} times; retry it with `sensory ingest --retry-failed`")
    if item.attempts >= MAX_ATTEMPTS:
        return Abandoned(
            f"started {item.attempts} times and never finished{f' ({item.note})' if item.note else ''}; "
            "retry it with `sensory ingest --retry-failed`"
        )
    return None


def _duration_s(result: StageResult) -> float:
    """Of a normalized_audio result; 0 for one that failed."""
    return FACTS.validate_json(result.payload).duration_ms / 1000 if result.payload else 0.0
