"""Recordings through the engines that all requests share: transcript and speakers side by side, emotions after them."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sensory_pipeline.core.errors import EngineUnavailable
from sensory_pipeline.core.process_request import ProcessRequest
from sensory_pipeline.core.results import AudioFacts, RecordingResult
from sensory_pipeline.core.stages import READS, Stage, stages_for
from sensory_pipeline.engines.cache_stats import CacheStats
from sensory_pipeline.engines.request_support import check
from sensory_pipeline.engines.selection import Engines
from sensory_pipeline.processing.single_file import SingleFile
from sensory_pipeline.processing.tasks.serialization import FACTS, assembled
from sensory_pipeline.processing.workers.future_executor import EngineExecutor
from sensory_pipeline.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A recording whose sound is known. futures: of all that engines were ever asked about it."""

    file: SingleFile
    facts: str
    audio: AudioFacts
    futures: list[Future[str]] = field(default_factory=list)


class Recognition:
    """Recordings through the shared engines.

    Args:
        executor: From `shared_engines`.
        sets: From `shared_engines`.
        folder: For decoded audio; everything in it belongs to this service.
        told: Called with each stage and the seconds of audio it has processed.
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
        """Whether nothing can be recognised any more."""
        return self._executor.closed

    def processes(self, stage: Stage) -> int:
        """How many may work for a stage at once."""
        return self._executor.size(stage)

    @property
    def caches(self) -> tuple[CacheStats, ...]:
        """Of the engines' processes, each as it was when it last came to an end of work."""
        return self._executor.caches

    def engines(self, *, stereo: bool = False) -> Engines:
        """What does the work, as far as it is known without doing any."""
        return self._sets[int(stereo)]

    def check(self, request: ProcessRequest) -> None:
        """Raises UnsupportedLanguage for what the engines cannot do."""
        check(request, self.engines(stereo=request.stereo).transcriber.info)

    @asynccontextmanager
    async def decoded(self, path: Path, request: ProcessRequest) -> AsyncIterator[Decoded]:
        """Its sound, for the `with`. Raises what the recording fails with."""
        futures: list[Future[str]] = []
        folder = self._folder / uuid.uuid4().hex
        try:
            hours = self._settings.max_audio_hours
            file = SingleFile.at(path, request, decoded=folder / "audio.wav", max_audio_hours=hours)
            limit_s = self._settings.recording_timeout_s + path.stat().st_size / 5e5
            facts = await self._answer(Stage.NORMALIZED_AUDIO, file, {}, limit_s, futures)
            yield Decoded(file=file, facts=facts, audio=FACTS.validate_json(facts), futures=futures)
        finally:
            disposal = asyncio.create_task(_dispose(folder, futures))
            self._disposals.add(disposal)
            disposal.add_done_callback(self._disposals.discard)

    async def result(self, decoded: Decoded) -> RecordingResult:
        """All that was asked. Raises what the recording, or an engine, fails with."""
        request = decoded.file.request
        audio_s = decoded.audio.duration_ms / 1000
        limit_s = self._settings.recording_timeout_s + 10 * audio_s
        payloads = {Stage.NORMALIZED_AUDIO: decoded.facts}
        wanted = stages_for(request)[1:]
        ends: dict[Stage, asyncio.Task[None]] = {}

        async def do(stage: Stage) -> None:
            for before in READS[stage]:
                if before in ends:
                    await asyncio.shield(ends[before])
            payloads[stage] = await self._answer(stage, decoded.file, dict(payloads), limit_s, decoded.futures)
            self._told(stage, audio_s)

        try:
            async with asyncio.TaskGroup() as group:
                for stage in wanted:
                    ends[stage] = group.create_task(do(stage))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        return await asyncio.to_thread(assembled, payloads, request)

    async def _answer(
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
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            mine = asyncio.current_task()
            if mine is None or mine.cancelling():
                raise
            raise EngineUnavailable("the engines were closed before they took this") from None


async def _dispose(folder: Path, futures: Sequence[Future[str]]) -> None:
    """Once no engine uses it any more: one that still works on what nobody wants would only make it anew."""
    await asyncio.gather(*(asyncio.wrap_future(future) for future in futures), return_exceptions=True)
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
