"""JSON of stage results: how they travel between processes and lie in the stage store."""

from __future__ import annotations

from pydantic import TypeAdapter

from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.emotions import Emotions
from sensory_pipeline.core.results import AudioFacts
from sensory_pipeline.core.transcripts import Transcript

FACTS = TypeAdapter(AudioFacts)
TRANSCRIPT = TypeAdapter(Transcript)
DIARIZATION = TypeAdapter(Diarization)
EMOTIONS = TypeAdapter(Emotions)
