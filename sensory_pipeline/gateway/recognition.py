"""Processes recordings in the engines that all requests share: transcript and speakers in parallel, then emotions."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sensory_pipeline.core.process_request import ProcessRequest
from sensory_pipeline.core.results import AudioFacts, RecordingResult
from sensory_pipeline.core.stages import READS, Stage, stages_for
from sensory_pipeline.engines.cache_stats import CacheStats
from sensory_pipeline.engines.request_support import check
from sensory_pipeline.engines.selection import Engines
from sensory_pipeline.processing.single_file import SingleFile
from sensory_pipeline.processing.tasks.serialization import FACTS, assembled
from sensory_pipeline.processing.tasks.task import decoding_s, silence_s
from sensory_pipeline.processing.workers.future_executor import EngineExecutor
from sensory_pipeline.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A decoded recording.

    Attributes:
        file: The recording and its request.
        facts: JSON text of `audio`.
        audio: Length and format of the audio.
        futures: Futures of all tasks that engines got for the recording.
    """

    file: SingleFile
    facts: str
    audio: AudioFacts
    futures: list[Future[str]] = field(default_factory=list)


class Recognition:
    """Processes recordings in the shared engines.

    Args:
        executor: From `shared_engines`.
        sets: From `shared_engines`.
        settings: Settings of the pipeline.
        folder: Folder for decoded audio, used only by this service.
        told: Called when a stage is done, with the stage and the seconds of audio.
    """

    def __init__(
        self,
        executor: EngineExecutor,
        sets: Sequence[Engines],
        settings: Settings,
        folder: Path,
        told: Callable[[Stage, float], None] = lambda _stage, _audio_s: None,
    ) -> None:
        self._executor = executor
        self._sets = sets
        self._settings = settings
        self._folder = folder
        self._told = told
        self._disposals: set[asyncio.Task[None]] = set()

    @property
    def closed(self) -> bool:
        """Whether the engines are closed."""
        return self._executor.closed

    def processes(self, stage: Stage) -> int:
        """Maximum number of processes of a stage."""
        return self._executor.size(stage)

    @property
    def caches(self) -> dict[str, tuple[CacheStats, ...]]:
        """Model caches of the engine processes on each device, each as of the end of its last work."""
        return self._executor.caches

    def engines(self, *, stereo: bool = False) -> Engines:
        """The engines that process recordings, without loading their models."""
        return self._sets[int(stereo)]

    def check(self, request: ProcessRequest) -> None:
        """Check that the engines support the language of a request.

        Raises:
            UnsupportedLanguage: They do not.
        """
        check(request, self.engines(stereo=request.stereo).transcriber.info)

    @asynccontextmanager
    async def decoded(self, path: Path, request: ProcessRequest) -> AsyncIterator[Decoded]:
        """Decode a recording. The audio is on the disk for the duration of the `with` block.

        Raises:
            SensoryError: The recording failed with this error.
        """
        futures: list[Future[str]] = []
        folder = self._folder / uuid.uuid4().hex
        try:
            hours = self._settings.max_audio_hours
            file = SingleFile.at(path, request, decoded=folder / "audio.wav", max_audio_hours=hours)
            limit_s = decoding_s(self._settings.recording_timeout_s, path.stat().st_size)
            facts = await self._perform(Stage.NORMALIZED_AUDIO, file, {}, limit_s, futures)
            yield Decoded(file=file, facts=facts, audio=FACTS.validate_json(facts), futures=futures)
        finally:
            disposal = asyncio.create_task(_dispose(folder, futures))
            self._disposals.add(disposal)
            disposal.add_done_callback(self._disposals.discard)

    async def result(self, decoded: Decoded) -> RecordingResult:
        """Perform the tasks of the request.

        Raises:
            SensoryError: The recording or an engine failed with this error.
        """
        request = decoded.file.request
        audio_s = decoded.audio.duration_ms / 1000
        limit_s = silence_s(self._settings.recording_timeout_s, audio_s)
        payloads = {Stage.NORMALIZED_AUDIO: decoded.facts}
        wanted = stages_for(request)[1:]
        ends: dict[Stage, asyncio.Task[None]] = {}

        async def do(stage: Stage) -> None:
            for before in READS[stage]:
                if before in ends:
                    await asyncio.shield(ends[before])
            payloads[stage] = await self._perform(stage, decoded.file, dict(payloads), limit_s, decoded.futures)
            self._told(stage, audio_s)

        try:
            async with asyncio.TaskGroup() as group:
                for stage in wanted:
                    ends[stage] = group.create_task(do(stage))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        return await asyncio.to_thread(assembled, payloads, request)

    async def _perform(
        self,
        stage: Stage,
        file: SingleFile,
        payloads: dict[Stage, str],
        limit_s: float,
        futures: list[Future[str]],
    ) -> str:
        task = file.task(payloads, limit_s=limit_s)
        future = self._executor.submit(stage, int(file.request.stereo), task)
        futures.append(future)
        return await asyncio.wrap_future(future)


async def _dispose(folder: Path, futures: Sequence[Future[str]]) -> None:
    """Remove the folder when no engine uses it any more; an engine that is still running would create it again."""
    await asyncio.gather(*(asyncio.wrap_future(future) for future in futures), return_exceptions=True)
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
