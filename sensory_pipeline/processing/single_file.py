"""One recording through the engines without a lake: the same stages, in this process or wherever its tasks are sent."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sensory_pipeline.core.errors import SourceUnavailable
from sensory_pipeline.core.requests import ProcessRequest
from sensory_pipeline.core.results import RecordingResult
from sensory_pipeline.core.stages import Stage, stages_for
from sensory_pipeline.engines.capability import check
from sensory_pipeline.engines.selection import Engines
from sensory_pipeline.processing.tasks.audio_source import AudioSource
from sensory_pipeline.processing.tasks.perform import perform
from sensory_pipeline.processing.tasks.serialization import FACTS, assembled
from sensory_pipeline.processing.tasks.task import StageTask
from sensory_pipeline.processing.workers.executor import EngineExecutor
from sensory_pipeline.storage.local import stat_object


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleFile:
    """One recording, and what is asked of it."""

    source: AudioSource
    request: ProcessRequest

    @classmethod
    def at(cls, path: Path, request: ProcessRequest, *, decoded: Path, max_audio_hours: float) -> Self:
        """decoded: where its decoded audio goes. Raises SourceUnavailable when it cannot be looked at."""
        try:
            listed = stat_object(path)
        except OSError as error:
            raise SourceUnavailable(f"{path}: {error.strerror}") from error
        source = AudioSource(
            uri=listed.uri,
            version=listed.version,
            decoded=decoded,
            max_duration_s=max_audio_hours * 3600,
            stereo=request.stereo,
            track=request.track,
        )
        return cls(source=source, request=request)

    def task(self, payloads: Mapping[Stage, str], *, limit_s: float = 0) -> StageTask:
        """For the stage after those that `payloads` are the JSON of. limit_s: as of a StageTask."""
        return StageTask(
            recording_id=self.source.uri,
            source=self.source,
            request=self.request,
            limit_s=limit_s,
            transcript=payloads.get(Stage.TRANSCRIPTS),
            diarization=payloads.get(Stage.DIARIZATION),
        )


def process_file(
    path: Path,
    request: ProcessRequest,
    engines: Engines,
    *,
    max_audio_hours: float,
    executor: EngineExecutor | None = None,
    recording_timeout_s: float = 300,
) -> RecordingResult:
    """The result for one file. Raises the error that would stand in its row of `recordings`.

    executor: whose processes, of `shared_engines`, do the work under supervision; this process itself does it when
    None, unguarded against what makes it crash, hang or grow. recording_timeout_s: as of the settings.
    """
    payloads: dict[Stage, str] = {}
    with tempfile.TemporaryDirectory(prefix="sensory-") as folder:
        file = SingleFile.at(path, request, decoded=Path(folder, "audio.wav"), max_audio_hours=max_audio_hours)
        check(request, engines.transcriber.info)
        limit_s = recording_timeout_s + path.stat().st_size / 5e5
        for stage in stages_for(request):
            task = file.task(payloads, limit_s=limit_s)
            if executor is not None:
                payloads[stage] = executor.submit(stage, int(request.stereo), task).result()
            else:
                payloads[stage] = _performed(stage, engines, task)
            if stage is Stage.NORMALIZED_AUDIO:
                limit_s = recording_timeout_s + FACTS.validate_json(payloads[stage]).duration_ms / 100
    return assembled(payloads, request)


def _performed(stage: Stage, engines: Engines, task: StageTask) -> str:
    ((_, answer),) = perform(stage, engines, iter([task]))
    if not isinstance(answer, str):
        raise answer
    return answer
