"""One recording through the engines, in this process: the same stages, without a lake."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sensory_pipeline.core.errors import SourceUnavailable
from sensory_pipeline.core.requests import ProcessRequest
from sensory_pipeline.core.results import RecordingResult
from sensory_pipeline.core.stages import Stage, stages_for
from sensory_pipeline.engines.capability import check
from sensory_pipeline.engines.selection import Engines
from sensory_pipeline.processing.tasks.audio_source import AudioSource
from sensory_pipeline.processing.tasks.perform import perform
from sensory_pipeline.processing.tasks.serialization import assembled
from sensory_pipeline.processing.tasks.task import StageTask
from sensory_pipeline.storage.local import stat_object


def process_file(path: Path, request: ProcessRequest, engines: Engines, *, max_audio_hours: float) -> RecordingResult:
    """The result for one file. Raises the error that would stand in its row of `recordings`."""
    try:
        listed = stat_object(path)
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error.strerror}") from error
    check(request, engines.transcriber.info)
    payloads: dict[Stage, str] = {}
    with tempfile.TemporaryDirectory(prefix="sensory-") as folder:
        source = AudioSource(
            uri=listed.uri,
            version=listed.version,
            decoded=Path(folder, "audio.wav"),
            max_duration_s=max_audio_hours * 3600,
            stereo=request.stereo,
            track=request.track,
        )
        for stage in stages_for(request):
            task = StageTask(
                recording_id=listed.uri,
                source=source,
                request=request,
                limit_s=0,
                transcript=payloads.get(Stage.TRANSCRIPTS),
                diarization=payloads.get(Stage.DIARIZATION),
            )
            ((_, answer),) = perform(stage, engines, iter([task]))
            if not isinstance(answer, str):
                raise answer
            payloads[stage] = answer
    return assembled(payloads, request)
