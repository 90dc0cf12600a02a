from __future__ import annotations

import pytest
from hypothesis import given, settings

from sensory_pipeline.core.attribution import attribute
from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.speakers import speaker_statistics
from sensory_pipeline.core.transcripts import Word
from sensory_pipeline_tests.strategies import alone, attributed_word, diarizations, turn, words


@settings(deadline=None, max_examples=40)
@given(said=words(), diarization=diarizations())
def test_figures_add_up(said: list[Word], diarization: Diarization) -> None:
    attributed = attribute(said, diarization)
    found = speaker_statistics(diarization, attributed)
    assert tuple(one.speaker for one in found) == diarization.speakers
    assert sum(one.turns for one in found) == len(diarization.turns)
    assert sum(one.words for one in found) == sum(word.speaker is not None for word in attributed)
    if any(one.talk_ms for one in found):
        assert sum(one.talk_share for one in found) == pytest.approx(1)
    assert all(one.longest_turn_ms <= one.talk_ms for one in found)
    assert all((one.words_per_minute is None) == (one.talk_ms == 0) for one in found)


def test_two_speakers() -> None:
    said = [attributed_word("so", 0, 200, "A"), attributed_word("yes", 3_100, 3_300, "B")]
    said += [attributed_word("well", 3_500, 3_800, "A"), attributed_word("hm", 90_000, 90_100, None)]
    first, second = speaker_statistics(
        alone(turn("A", 0, 3_000), turn("B", 3_000, 4_000), turn("A", 4_000, 10_000)), said
    )
    assert (first.speaker, first.talk_ms, first.turns, first.words, first.longest_turn_ms) == ("A", 9_000, 2, 2, 6_000)
    assert (second.speaker, second.talk_ms, second.turns, second.words) == ("B", 1_000, 1, 1)
    assert (first.talk_share, second.talk_share) == (0.9, 0.1)
    assert second.words_per_minute == 60


def test_nobody() -> None:
    assert speaker_statistics(alone(), [attributed_word("hm", 0, 100, None)]) == ()
