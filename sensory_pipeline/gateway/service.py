"""The running service: engines, queue, background jobs and spool that requests share, and their use."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from sensory_pipeline.audio.pcm_file import write_pcm
from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.core.errors import ConfigurationError, SensoryError
from sensory_pipeline.core.formats import service as answer_format
from sensory_pipeline.core.process_request import EmotionLevel, EmotionSettings, ProcessRequest
from sensory_pipeline.core.results import RecordingResult
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.selection import EngineFactory
from sensory_pipeline.gateway.admission import Admission
from sensory_pipeline.gateway.background_jobs import DATABASE, Background
from sensory_pipeline.gateway.job_store import Job
from sensory_pipeline.gateway.lake_jobs import LakeJobs, lake_jobs
from sensory_pipeline.gateway.metrics import Metrics
from sensory_pipeline.gateway.recognition import Decoded, Recognition
from sensory_pipeline.gateway.request_json import RequestJson
from sensory_pipeline.gateway.webhooks import delivered
from sensory_pipeline.processing.setup import shared_engines
from sensory_pipeline.processing.workers.future_executor import EngineExecutor
from sensory_pipeline.service_settings import ServiceSettings
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage.lock import held

log = structlog.get_logger()

_RETRY_S = 10.0  # before the next attempt if the models failed


@dataclass(slots=True, kw_only=True)
class Service:
    """The parts of a running service.

    Attributes:
        settings: Settings of the pipeline.
        service_settings: Settings of the service.
        metrics: Metrics for Prometheus.
        executor: Runs the engine processes.
        recognition: Processes recordings in the engines.
        admission: The queue of requests.
        uploads: Folder for uploads.
        default: The request that the settings make; fields of a client's request override it.
        lake_jobs: Processes background jobs in lake mode; otherwise None.
        background: The background jobs.
        ready: Whether the models are loaded.
    """

    settings: Settings
    service_settings: ServiceSettings
    metrics: Metrics
    executor: EngineExecutor
    recognition: Recognition
    admission: Admission
    uploads: Path
    default: ProcessRequest
    lake_jobs: LakeJobs | None
    background: Background = field(init=False)
    ready: bool = False

    def ignored(self, wanted: ProcessRequest) -> list[str]:
        """Names of the transcription settings, other than the default, that the engine ignores."""
        settings_used = self.recognition.engines(stereo=wanted.stereo).transcriber.info.settings_used
        changed = {name for name, value in wanted.tra if value != getattr(self.default.tra, name)}
        return [] if settings_used is None else sorted(changed - settings_used)

    async def processed(self, path: Path, asked: RequestJson, *, client: str) -> dict[str, Any]:
        """Process a recording at once.

        Args:
            path: The recording.
            asked: The parsed `request_json`.
            client: Name of the client.

        Returns:
            The result as a JSON document.

        Raises:
            SensoryError: The recording failed with this error.
            Problem: The request is invalid, or the queue is full.
        """
        wanted = asked.request(self.default)
        result = await self.result(path, wanted, client=client, log_progress=asked.log_progress)
        return await self._rendered(result, wanted, asked)

    async def result(
        self, path: Path, wanted: ProcessRequest, *, client: str, log_progress: bool = False
    ) -> RecordingResult:
        """Process a recording at once.

        Args:
            path: The recording.
            wanted: The request to the pipeline.
            client: Name of the client.
            log_progress: Whether to log each step at level INFO.

        Raises:
            SensoryError: The recording failed with this error.
            Problem: The queue is full, or the service is stopping.
        """
        async with self.recognition.decoded(path, wanted) as decoded:
            audio_s = decoded.audio.duration_ms / 1000
            self.metrics.received(audio_s)
            async with self.admission.turn(client, audio_s) as waited_s:
                return await self._result(decoded, waited_s, log_progress=log_progress)

    async def job_result(self, job: Job, path: Path) -> dict[str, Any]:
        """Process the recording of a background job. Returns and raises the same as `processed`."""
        asked = RequestJson.read(job.request.encode())
        wanted = asked.request(self.default)
        if self.lake_jobs is not None and asked.async_process:
            return await self._rendered(await self.lake_jobs.result(job.id, path), wanted, asked)
        async with self.admission.turn(job.client, job.audio_s, background=True) as waited_s:
            await self.background.begun(job)
            async with self.recognition.decoded(path, wanted) as decoded:
                result = await self._result(decoded, waited_s, log_progress=asked.log_progress)
                return await self._rendered(result, wanted, asked)

    async def _result(self, decoded: Decoded, waited_s: float, *, log_progress: bool) -> RecordingResult:
        audio_s = decoded.audio.duration_ms / 1000
        told = log.info if log_progress else log.debug
        told("started", audio_s=audio_s, codec=decoded.audio.codec, waited_s=round(waited_s, 3))
        began = time.monotonic()
        result = await self.recognition.result(decoded)
        work_s = time.monotonic() - began
        self.metrics.recognised(audio_s, waited_s, work_s)
        told("recognised", audio_s=audio_s, seconds=round(work_s, 3))
        return result

    async def _rendered(self, result: RecordingResult, request: ProcessRequest, asked: RequestJson) -> dict[str, Any]:
        value = await asyncio.to_thread(
            answer_format.document,
            result,
            request,
            as_text=asked.format_output == "text",
            with_words=asked.with_words,
        )
        if value.get("emo"):
            value["emo"]["engine"] = self.recognition.engines(stereo=request.stereo).classifier.info.engine
        return value

    async def warm(self) -> None:
        """Wait for the models by processing some silence; then the service is ready.

        The engine processes load them meanwhile; the first that has done so processes the silence.
        """
        request = ProcessRequest(emo=EmotionSettings(level=EmotionLevel.FILE))
        with tempfile.TemporaryDirectory(prefix="sensory-") as folder:
            path = Path(folder, "silence.wav")
            write_pcm(path, Waveform(samples=np.zeros((1, SAMPLE_RATE), np.int16)))
            while not self.ready:
                try:
                    async with self.recognition.decoded(path, request) as decoded:
                        await self.recognition.result(decoded)
                except SensoryError as error:
                    log.error("models_do_not_answer", error=str(error), retry_s=_RETRY_S)
                    await asyncio.sleep(_RETRY_S)
                else:
                    self.ready = True
                    log.info("ready", devices=list(self.recognition.caches))


@asynccontextmanager
async def running(
    settings: Settings, service_settings: ServiceSettings, metrics: Metrics, engines: EngineFactory | None
) -> AsyncIterator[Service]:
    """Run a service for the duration of the `with` block.

    Args:
        settings: Settings of the pipeline.
        service_settings: Settings of the service.
        metrics: Metrics for Prometheus.
        engines: Engines to use instead of those that the settings select.

    Raises:
        ConfigurationError: Another service uses the spool.
    """
    spool, inbox = service_settings.spool, service_settings.inbox
    shared = shared_engines(settings, engines=engines, standby=True)
    with _prepared(spool):
        executor, sets = await asyncio.to_thread(shared.__enter__)  # this may download models
        try:
            recognition = Recognition(executor, sets, settings, spool / "decoded", told=metrics.stage_done)
            service = Service(
                settings=settings,
                service_settings=service_settings,
                metrics=metrics,
                executor=executor,
                recognition=recognition,
                admission=Admission(
                    limit_s=service_settings.queue_audio_hours * 3600,
                    long_places=max(1, recognition.processes(Stage.TRANSCRIPTS) - 1),
                    devices=len(recognition.caches),
                ),
                uploads=spool / "uploads",
                default=settings.request(),
                lake_jobs=await asyncio.to_thread(lake_jobs, settings, inbox, engines) if inbox else None,
            )
            async with delivered(spool / "jobs" / DATABASE, service_settings, metrics.webhook) as finished:
                service.background = Background(
                    spool / "jobs",
                    limit_s=service_settings.job_audio_hours * 3600,
                    ttl_s=service_settings.job_ttl_hours * 3600,
                    work=service.job_result,
                    finished=finished,
                )
                _watch(service)
                await service.background.start()
                warming = asyncio.create_task(service.warm())
                try:
                    yield service
                finally:
                    service.ready = False
                    warming.cancel()
                    await service.background.stop()
                    service.admission.close()
        finally:
            await asyncio.to_thread(shared.__exit__, None, None, None)
            log.info("stopped")


def _watch(service: Service) -> None:
    queue = service.admission.queue
    service.metrics.watch("sensory_queue_recordings", "Recordings waiting.", lambda: queue.waiting)
    service.metrics.watch("sensory_queue_audio_seconds", "Seconds of audio waiting.", lambda: queue.waiting_s)
    service.metrics.watch("sensory_recordings_at_work", "Recordings in the engines.", lambda: queue.at_work)


@contextmanager
def _prepared(spool: Path) -> Iterator[None]:
    """Lock the spool and make its folders, private to the owner. Remove unfinished requests of the last service."""
    spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with held(spool / "lock", what="the spool", wait=False):
            for name in ("decoded", "uploads"):
                shutil.rmtree(spool / name, ignore_errors=True)
            for name in ("decoded", "uploads", "jobs"):
                (spool / name).mkdir(mode=0o700, exist_ok=True)
            yield
    except BlockingIOError as error:
        raise ConfigurationError(
            f"another service uses {spool.absolute()}: stop it, or set another SENSORY_SPOOL for this one"
        ) from error
