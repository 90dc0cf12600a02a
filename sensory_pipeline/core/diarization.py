"""Who spoke when: the result of a diarizer."""

from __future__ import annotations

from dataclasses import dataclass

from sensory_pipeline.core.spans import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One speaker speaking without a long pause.

    Attributes:
        span: When.
        speaker: A label that holds within the recording: `SPEAKER_00` and up.
    """

    span: Span
    speaker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerEmbedding:
    """The voice of one speaker as a vector.

    Attributes:
        speaker: The label of the speaker.
        vector: Its cosine similarity to another vector is meaningful only if the same model made both.
    """

    speaker: str
    vector: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diarization:
    """Who spoke when in one recording.

    Attributes:
        turns: In order of time; they may overlap.
        exclusive: The same with at most one speaker at a time.
        embeddings: In order of label, at most one for each speaker; empty if the engine has none.
    """

    turns: tuple[Turn, ...]
    exclusive: tuple[Turn, ...]
    embeddings: tuple[SpeakerEmbedding, ...] = ()

    @property
    def speakers(self) -> tuple[str, ...]:
        return tuple(sorted({turn.speaker for turn in self.turns}))


def label(index: int) -> str:
    """The name of the index-th speaker of a recording.

    >>> label(3)
    'SPEAKER_03'
    """
    return f"SPEAKER_{index:02d}"
