"""One recording through the engines without a lake: the same stages, in this process or in engine processes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sensory_pipeline.core.process_request import ProcessRequest
from sensory_pipeline.core.results import RecordingResult
from sensory_pipeline.core.stages import Stage, stages_for
from sensory_pipeline.engines.request_support import check
from sensory_pipeline.engines.selection import Engines
from sensory_pipeline.processing.tasks.audio_source import AudioSource
from sensory_pipeline.processing.tasks.perform import perform
from sensory_pipeline.processing.tasks.serialization import FACTS, assembled
from sensory_pipeline.processing.tasks.task import StageTask, decoding_s, silence_s
from sensory_pipeline.processing.workers.future_executor import EngineExecutor
from sensory_pipeline.storage.s3_access import AS_FOUND, S3Access
from sensory_pipeline.storage.sources import stat_object


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleFile:
    """One recording, and what to find out.

    Attributes:
        source: Where its sound comes from.
        request: What to find out.
        size_bytes: Size of the stored file.
    """

    source: AudioSource
    request: ProcessRequest
    size_bytes: int

    @classmethod
    def at(
        cls,
        place: Path | str,
        request: ProcessRequest,
        *,
        decoded: Path,
        max_audio_hours: float,
        access: S3Access = AS_FOUND,
    ) -> Self:
        """Describe a recording.

        Args:
            place: A path, or the uri of an object in S3.
            request: What to find out.
            decoded: Path for its decoded audio.
            max_audio_hours: Longer recordings fail.
            access: Access to S3.

        Raises:
            SourceUnavailable: The recording cannot be read.
        """
        listed = stat_object(str(place), access)
        source = AudioSource(
            uri=listed.uri,
            version=listed.version,
            decoded=decoded,
            max_duration_s=max_audio_hours * 3600,
            stereo=request.stereo,
            track=request.track,
            access=access,
        )
        return cls(source=source, request=request, size_bytes=listed.size_bytes)

    def task(self, payloads: Mapping[Stage, str], *, limit_s: float = 0) -> StageTask:
        """Return the task of the next stage.

        Args:
            payloads: JSON of the stages before, by stage.
            limit_s: As for StageTask.
        """
        return StageTask(
            recording_id=self.source.uri,
            source=self.source,
            request=self.request,
            limit_s=limit_s,
            transcript=payloads.get(Stage.TRANSCRIPTS),
            diarization=payloads.get(Stage.DIARIZATION),
        )


def process_file(
    place: Path | str,
    request: ProcessRequest,
    engines: Engines,
    *,
    max_audio_hours: float,
    access: S3Access = AS_FOUND,
    executor: EngineExecutor | None = None,
    recording_timeout_s: float = 300,
) -> RecordingResult:
    """Process one recording.

    Args:
        place: A path, or the uri of an object in S3.
        request: What to find out.
        engines: The engines.
        max_audio_hours: Longer recordings fail.
        access: Access to S3.
        executor: Its processes, from `shared_engines`, do the work under supervision. If None, this process does it,
            without protection against crashes, hangs and memory use.
        recording_timeout_s: As in the settings.

    Raises:
        Terminal: The error that would be in the recording's row of `recordings`.
        Transient: The recording cannot be processed for now.
    """
    payloads: dict[Stage, str] = {}
    with tempfile.TemporaryDirectory(prefix="sensory-") as folder:
        file = SingleFile.at(
            place, request, decoded=Path(folder, "audio.wav"), max_audio_hours=max_audio_hours, access=access
        )
        check(request, engines.transcriber.info)
        limit_s = decoding_s(recording_timeout_s, file.size_bytes)
        for stage in stages_for(request):
            task = file.task(payloads, limit_s=limit_s)
            if executor is not None:
                payloads[stage] = executor.submit(stage, int(request.stereo), task).result()
            else:
                payloads[stage] = _performed(stage, engines, task)
            if stage is Stage.NORMALIZED_AUDIO:
                audio_s = FACTS.validate_json(payloads[stage]).duration_ms / 1000
                limit_s = silence_s(recording_timeout_s, audio_s)
    return assembled(payloads, request)


def _performed(stage: Stage, engines: Engines, task: StageTask) -> str:
    ((_, answer),) = perform(stage, engines, iter([task]))
    if not isinstance(answer, str):
        raise answer
    return answer
