"""The speakers of one recording, in figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.utterances import AttributedWord


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerStatistics:
    """What one speaker said, in figures.

    Attributes:
        speaker: The label.
        talk_ms: Milliseconds in the speaker's turns.
        talk_share: Share in the talk time of all speakers, 0 to 1.
        turns: Number of turns.
        words: Number of words.
        longest_turn_ms: Milliseconds.
        words_per_minute: Of talk time; None if there is none.
    """

    speaker: str
    talk_ms: int
    talk_share: float
    turns: int
    words: int
    longest_turn_ms: int
    words_per_minute: float | None


def speaker_statistics(diarization: Diarization, words: Iterable[AttributedWord]) -> tuple[SpeakerStatistics, ...]:
    """The statistics of each speaker who has a turn, in order of label.

    Time in which several people speak counts for each of them.
    """
    spoken = Counter(word.speaker for word in words)
    lengths: dict[str, list[int]] = {speaker: [] for speaker in diarization.speakers}
    for turn in diarization.turns:
        lengths[turn.speaker].append(turn.span.duration_ms)
    total = sum(map(sum, lengths.values()))
    return tuple(
        SpeakerStatistics(
            speaker=speaker,
            talk_ms=(talk := sum(turns)),
            talk_share=talk / total if total else 0.0,
            turns=len(turns),
            words=spoken[speaker],
            longest_turn_ms=max(turns),
            words_per_minute=spoken[speaker] * 60_000 / talk if talk else None,
        )
        for speaker, turns in lengths.items()
    )
