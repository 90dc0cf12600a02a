"""Who spoke when: a diarizer's answer."""

from __future__ import annotations

from dataclasses import dataclass

from sensory_pipeline.core.spans import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One speaker, speaking. speaker: a label local to the recording, `SPEAKER_00` and up."""

    span: Span
    speaker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerEmbedding:
    """The voice of one speaker. vector: comparable, by cosine, to others of the same model alone."""

    speaker: str
    vector: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diarization:
    """turns: in order of time, may overlap; exclusive: the same with at most one speaker at a time;
    embeddings: in order of label, at most one a speaker, none where the engine has no such thing."""

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
