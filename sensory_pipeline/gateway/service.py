"""What requests share: engines, places, the spool."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog

from sensory_pipeline.audio.decode import write_pcm
from sensory_pipeline.audio.pcm import SAMPLE_RATE, Pcm
from sensory_pipeline.core.errors import SensoryError
from sensory_pipeline.core.requests import EmotionLevel, EmotionSettings, ProcessRequest
from sensory_pipeline.engines.selection import EngineFactory
from sensory_pipeline.gateway.admission import Admission
from sensory_pipeline.gateway.recognition import Recognition
from sensory_pipeline.processing.setup import shared_engines
from sensory_pipeline.processing.workers.executor import EngineExecutor
from sensory_pipeline.service_settings import ServiceSettings
from sensory_pipeline.settings import Settings

log = structlog.get_logger()

_RETRY_S = 10.0  # until models that did not answer are tried again


@dataclass(slots=True, kw_only=True)
class Service:
    """default: what is asked of a recording where a request does not say; ready: the models have answered."""

    settings: Settings
    service_settings: ServiceSettings
    default: ProcessRequest
    executor: EngineExecutor
    recognition: Recognition
    admission: Admission
    uploads: Path
    ready: bool = False


@asynccontextmanager
async def running(
    settings: Settings, service_settings: ServiceSettings, engines: EngineFactory | None
) -> AsyncIterator[Service]:
    """A service, from its engines' start to their end. engines: instead of those that the settings choose."""
    spool = service_settings.spool
    await asyncio.to_thread(_prepare, spool)
    shared = shared_engines(settings, engines=engines)
    executor, sets = await asyncio.to_thread(shared.__enter__)  # models may have to be fetched first
    try:
        service = Service(
            settings=settings,
            service_settings=service_settings,
            default=settings.request(),
            executor=executor,
            recognition=Recognition(executor, sets, settings, spool / "decoded"),
            admission=Admission(
                limit_s=service_settings.queue_audio_hours * 3600, long_places=max(1, (settings.workers or 2) - 1)
            ),
            uploads=spool / "uploads",
        )
        warming = asyncio.create_task(_warm(service))
        yield service
        service.ready = False
        warming.cancel()
        service.admission.close()
    finally:
        await asyncio.to_thread(shared.__exit__, None, None, None)


def _prepare(spool: Path) -> None:
    """Its owner's alone; nothing is left of requests that a service before this one did not end."""
    spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("decoded", "uploads"):
        shutil.rmtree(spool / name, ignore_errors=True)
        (spool / name).mkdir(mode=0o700)


async def _warm(service: Service) -> None:
    """Load the models before anybody needs them; the service is ready when all have answered."""
    request = ProcessRequest(emo=EmotionSettings(level=EmotionLevel.FILE))
    with tempfile.TemporaryDirectory(prefix="sensory-") as folder:
        path = Path(folder, "silence.wav")
        write_pcm(path, Pcm(samples=np.zeros((1, SAMPLE_RATE), np.int16)))
        while not service.ready:
            try:
                async with service.recognition.decoded(path, request) as decoded:
                    await service.recognition.result(decoded)
            except SensoryError as error:
                log.error("models_do_not_answer", error=str(error), retry_s=_RETRY_S)
                await asyncio.sleep(_RETRY_S)
            else:
                service.ready = True
                log.info("ready")
