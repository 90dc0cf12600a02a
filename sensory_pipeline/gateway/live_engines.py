"""Processes clips of live speech in the engines that all requests share."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from sensory_pipeline.audio.pcm_file import write_pcm
from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.emotions import EmotionScores
from sensory_pipeline.core.process_request import EmotionLevel, EmotionSettings, ProcessRequest
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.processing.tasks.audio_source import AudioSource
from sensory_pipeline.processing.tasks.serialization import EMOTIONS, TRANSCRIPT
from sensory_pipeline.processing.tasks.task import StageTask
from sensory_pipeline.processing.workers.future_executor import EngineExecutor

_LONGEST_S = 60.0
_LIMIT_S = 60.0  # without progress, model loading included


class LiveEngines:
    """Transcribes and classifies clips, which are in a temporary folder while engines work on them.

    Args:
        executor: An executor that was entered.
        choice: Index of its set of engines.
    """

    def __init__(self, executor: EngineExecutor, *, choice: int = 0) -> None:
        self._executor = executor
        self._choice = choice
        self._folder = TemporaryDirectory(prefix="sensory-live-")
        self._numbers = count()

    def close(self) -> None:
        """Remove the temporary folder."""
        self._folder.cleanup()

    async def transcript(self, pcm: Waveform, request: ProcessRequest) -> Transcript:
        """Transcribe a clip. Raises the errors of the future that EngineExecutor.submit returns."""
        return TRANSCRIPT.validate_json(await self._asked(Stage.TRANSCRIPTS, pcm, request))

    async def emotion(self, pcm: Waveform, request: ProcessRequest) -> EmotionScores:
        """Classify the emotion of a whole clip. Raises the errors of the future that EngineExecutor.submit returns."""
        whole = request.model_copy(update={"emo": EmotionSettings(level=EmotionLevel.FILE), "stereo": False})
        return EMOTIONS.validate_json(await self._asked(Stage.EMOTIONS, pcm, whole)).items[0].scores

    async def _asked(self, stage: Stage, pcm: Waveform, request: ProcessRequest) -> str:
        path = Path(self._folder.name, f"{next(self._numbers)}.wav")
        await asyncio.to_thread(write_pcm, path, pcm)
        source = AudioSource(uri=str(path), version="", decoded=path, max_duration_s=_LONGEST_S, stereo=False)
        task = StageTask(recording_id="live", source=source, request=request, limit_s=_LIMIT_S)
        try:
            return await asyncio.wrap_future(self._executor.submit(stage, self._choice, task))
        finally:
            path.unlink(missing_ok=True)
