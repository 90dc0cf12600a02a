"""One stage of one recording and its outcome: values that are sent between processes."""

from __future__ import annotations

from dataclasses import dataclass

from sensory_pipeline.core.errors import Terminal, Transient
from sensory_pipeline.core.process_request import ProcessRequest
from sensory_pipeline.processing.tasks.audio_source import AudioSource

Outcome = str | Terminal | Transient
"""The result as JSON, or the error why there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTask:
    """One stage of one recording.

    Attributes:
        recording_id: The recording.
        source: Where its sound comes from.
        request: What to find out.
        limit_s: Seconds without a sign of life after which its process counts as hung.
        transcript: JSON of its transcript, for emotions.
        diarization: JSON of its diarization, for emotions.
    """

    recording_id: str
    source: AudioSource
    request: ProcessRequest
    limit_s: float
    transcript: str | None = None
    diarization: str | None = None


def decoding_s(timeout_s: float, size_bytes: int) -> float:
    """Return the limit of a decoding task, whose recording's length is not known yet.

    A slow network delivers 1 MB per second, and decoding takes as long again.

    Args:
        timeout_s: SENSORY_RECORDING_TIMEOUT_S.
        size_bytes: Size of the recording.
    """
    return timeout_s + size_bytes / 5e5


def silence_s(timeout_s: float, audio_s: float) -> float:
    """Return the limit of every other task, for a recording of so many seconds.

    Args:
        timeout_s: SENSORY_RECORDING_TIMEOUT_S.
        audio_s: Length of the recording.
    """
    return timeout_s + 10 * audio_s
