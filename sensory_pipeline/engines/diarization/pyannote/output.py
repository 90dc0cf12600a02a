"""pyannote's output as a Diarization."""

from __future__ import annotations

from itertools import chain
from typing import Any

from sensory_pipeline.core.diarization import Diarization, SpeakerEmbedding, Turn, label
from sensory_pipeline.core.spans import Span


def diarization_of(output: Any, recording: Span) -> Diarization:
    """Return pyannote's DiarizeOutput as our value, with times inside the recording."""
    turns = _tracks(output.speaker_diarization, recording)
    exclusive = _tracks(output.exclusive_speaker_diarization, recording)
    appearing = dict.fromkeys(speaker for _, speaker in chain(turns, exclusive))
    names = {speaker: label(index) for index, speaker in enumerate(appearing)}
    # the vector of a speaker with too little speech is zero, or not finite
    vectors = {
        names[speaker]: tuple(vector.tolist())
        for speaker, vector in zip(output.speaker_diarization.labels(), output.speaker_embeddings, strict=True)
        if speaker in names and vector.any() and abs(vector).max() < float("inf")
    }
    return Diarization(
        turns=tuple(Turn(span=span, speaker=names[speaker]) for span, speaker in turns),
        exclusive=tuple(Turn(span=span, speaker=names[speaker]) for span, speaker in exclusive),
        embeddings=tuple(SpeakerEmbedding(speaker=name, vector=vectors[name]) for name in sorted(vectors)),
    )


def _tracks(annotation: Any, recording: Span) -> list[tuple[Span, str]]:
    """Turns of a pyannote.core Annotation inside the recording, in order of time, with pyannote's labels."""
    tracks = (
        (Span.from_seconds(segment.start, segment.end).clip(recording), str(speaker))
        for segment, _, speaker in annotation.itertracks(yield_label=True)
    )
    return sorted((span, speaker) for span, speaker in tracks if span.duration_ms)
