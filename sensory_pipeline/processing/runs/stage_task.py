"""The task of one stage for one recording."""

from __future__ import annotations

from collections.abc import Mapping

from sensory_pipeline.core.recordings import Recording
from sensory_pipeline.core.stages import Stage, fingerprint
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.stage_store import StageResult
from sensory_pipeline.processing.plans import Plan
from sensory_pipeline.processing.runs.backlog import duration_s
from sensory_pipeline.processing.runs.context import RunContext
from sensory_pipeline.processing.tasks.audio_source import AudioSource
from sensory_pipeline.processing.tasks.task import StageTask, decoding_s, silence_s


def stage_task(
    lake: Lake, context: RunContext, plan: Plan, recording: Recording, inputs: Mapping[Stage, StageResult]
) -> StageTask:
    """Return what an engine process needs to work on a recording.

    Args:
        lake: The lake.
        context: Limits and access.
        plan: The plan of the recording.
        recording: The recording.
        inputs: The results of the stages that this stage reads.
    """
    limits, timeout_s = context.limits, context.limits.recording_timeout_s
    decoded = inputs.get(Stage.NORMALIZED_AUDIO)
    transcript, diarization = inputs.get(Stage.TRANSCRIPTS), inputs.get(Stage.DIARIZATION)
    audio = fingerprint(
        {
            "version": recording.version,
            "audio": plan.stages[Stage.NORMALIZED_AUDIO].fingerprint,
        }
    )
    return StageTask(
        recording_id=recording.recording_id,
        source=AudioSource(
            uri=recording.uri,
            version=recording.version,
            decoded=lake.audio / f"{recording.recording_id}-{audio}.wav",
            max_duration_s=limits.max_audio_hours * 3600,
            stereo=plan.request.stereo,
            track=plan.request.track,
            access=context.access,
        ),
        request=plan.request,
        limit_s=silence_s(timeout_s, duration_s(decoded)) if decoded else decoding_s(timeout_s, recording.size_bytes),
        transcript=transcript.payload if transcript else None,
        diarization=diarization.payload if diarization else None,
    )
