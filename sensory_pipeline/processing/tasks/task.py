"""One stage on one recording, and what it comes to: values that travel between processes."""

from __future__ import annotations

from dataclasses import dataclass

from sensory_pipeline.core.errors import Terminal, Transient
from sensory_pipeline.core.requests import ProcessRequest
from sensory_pipeline.processing.tasks.audio_source import AudioSource

Outcome = str | Terminal | Transient
"""The result as JSON, or why there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTask:
    """One stage on one recording.

    limit_s: seconds without a sign of life after which its process counts as hung; transcript and
    diarization: JSON of the stages before, for emotions.
    """

    recording_id: str
    source: AudioSource
    request: ProcessRequest
    limit_s: float
    transcript: str | None = None
    diarization: str | None = None
