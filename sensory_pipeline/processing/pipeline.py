"""One stage over one partition: what is pending and not done yet goes through the engines.

Every asset calls `run_stage` with its stage, or `publish_partition`; both hold the partition's
lease, so two runs on the same partition take turns and the second finds the work done.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version

from sensory_pipeline.core.errors import Abandoned, Crashed, EngineError, Terminal, Transient
from sensory_pipeline.core.recordings import Partition, Recording
from sensory_pipeline.core.stages import READS, Stage, engines_at_fault, fingerprint
from sensory_pipeline.engines.cache import CacheStats
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.ledger import MAX_ATTEMPTS, Ledger, Pending
from sensory_pipeline.lake.stage_store import StageResult
from sensory_pipeline.processing.plan import Plan
from sensory_pipeline.processing.pool import MAX_CRASHES, Trial
from sensory_pipeline.processing.processor import Processor, duration_s, share, stage_results
from sensory_pipeline.processing.work import Source, Work

VERSION = version("sensory-pipeline")
ENGINE_FAULTS = (Crashed.__name__, EngineError.__name__, Abandoned.__name__)


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
    began = time.monotonic()
    with lake.lease(partition):
        lake.ledger.catch_up(lake.manifest(partition))
        runs: list[_StageRun] = []
        for plan, pending in share(lake, processor, partition):
            run = _StageRun(lake, processor, plan, stage, partition, run_id, sum(run.taken_s for run in runs))
            run.work_on(pending)
            runs.append(run)
        made = [result for run in runs for result in run.made]
        faults = [result for result in made if result.error_class in ENGINE_FAULTS]
        if engines_at_fault(len(made), len(faults)):
            recordings = {identity: recording for run in runs for identity, recording in run.recordings.items()}
            lake.ledger.forgive(recordings[result.recording_id] for result in faults)
    infos = [run.plan.info for run in runs] or [processor.plans.default.stages[stage].info]
    return StageReport(
        stage=stage,
        computed=len(made),
        reused=sum(run.reused for run in runs),
        failed=sum(result.error_class is not None for result in made),
        engine_faults=len(faults),
        fault=faults[0].error_message if faults else None,
        deferred=sum(run.deferred for run in runs),
        audio_s=sum(run.audio_s for run in runs),
        seconds=time.monotonic() - began,
        engine=", ".join(dict.fromkeys(f"{info.engine} {info.model}" for info in infos)),
        device=", ".join(dict.fromkeys(info.device for info in infos)),
        caches=processor.pool.caches,
    )


class _StageRun:
    """The recordings of one plan. taken_s: seconds of audio that the run has taken before; then, by these."""

    def __init__(
        self,
        lake: Lake,
        processor: Processor,
        whole: Plan,
        stage: Stage,
        partition: Partition,
        run_id: str,
        taken_before_s: float,
    ) -> None:
        self._lake = lake
        self._processor = processor
        self._whole = whole
        self.plan = whole.stages[stage]
        self._partition = partition
        self._run_id = run_id
        self._taken_before_s = taken_before_s
        self.taken_s = 0.0
        self.recordings: dict[str, Recording] = {}
        self.made: list[StageResult] = []
        self.audio_s = 0.0
        self.reused = 0
        self.deferred = 0

    def work_on(self, pending: Sequence[Pending]) -> None:
        upstream = self._upstream(pending)
        if upstream is not None:
            pending = [p for p in pending if p.recording.recording_id in upstream]
        known = stage_results(self._lake, self.plan, self._partition, pending)
        self.reused = len(known)
        if upstream is None:
            self.taken_s = sum(duration_s(result) for result in known.values())
        todo = [p for p in pending if p.recording.recording_id not in known]
        self.recordings = {p.recording.recording_id: p.recording for p in todo}
        with self._lake.stages.writer(self.plan.stage, self._partition, self._run_id) as writer:
            for answered in self._answers(todo, upstream):
                if answered is None:
                    writer.flush_when_due()
                    continue
                identity, answer, seconds = answered
                recording = self.recordings[identity]
                if isinstance(answer, Transient):
                    self._lake.ledger.deferred(recording, str(answer))
                    self.deferred += 1
                    continue
                result = self._result(recording, answer, seconds)
                writer.add(result)
                self._lake.ledger.progressed(recording)
                if upstream is None:
                    self.taken_s += duration_s(result)
                self.audio_s += duration_s(result if upstream is None else upstream[identity][Stage.NORMALIZED_AUDIO])
                self.made.append(replace(result, payload=None))
                self._processor.progress(self.plan.stage, identity)

    def _upstream(self, pending: Sequence[Pending]) -> dict[str, dict[Stage, StageResult]] | None:
        """Results of the stages this one reads, of the recordings for which all went well."""
        before = [s for s in self._whole.stages if s in READS[self.plan.stage]]
        if not before:
            return None
        plans = self._whole.stages
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
        journal = _LedgerJournal(self._lake.ledger, self.recordings)
        for answer in self._processor.pool.run(
            self.plan.stage, self._whole.choice, self._trials(able, upstream), journal
        ):
            yield (answer.recording_id, answer.value, answer.seconds) if answer else None

    def _trials(self, todo: list[Pending], upstream: dict[str, dict[Stage, StageResult]] | None) -> Iterator[Trial]:
        limit_s = self._processor.limits.run_audio_hours * 3600
        for item in todo:
            if upstream is None and self._taken_before_s + self.taken_s >= limit_s:
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
                "audio": self._whole.stages[Stage.NORMALIZED_AUDIO].fingerprint,
            }
        )
        return Work(
            recording_id=recording.recording_id,
            source=Source(
                uri=recording.uri,
                version=recording.version,
                decoded=self._lake.audio / f"{recording.recording_id}-{audio}.wav",
                max_duration_s=limits.max_audio_hours * 3600,
                stereo=self._whole.request.stereo,
            ),
            request=self._whole.request,
            limit_s=limits.silence_s(duration_s(decoded)) if decoded else limits.decoding_s(recording.size_bytes),
            transcript=transcript.payload if transcript else None,
            diarization=diarization.payload if diarization else None,
        )

    def _result(self, recording: Recording, answer: str | Terminal, seconds: float) -> StageResult:
        failed = isinstance(answer, Terminal)
        return StageResult(
            recording_id=recording.recording_id,
            version=recording.version,
            fingerprint=self.plan.fingerprint,
            payload=None if failed else str(answer),
            error_class=type(answer).__name__ if failed else None,
            error_message=str(answer) if failed else None,
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
