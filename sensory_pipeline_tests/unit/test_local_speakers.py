"""Windows, their voices, and what becomes of them: counts, votes and turns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.core.arrays import Floats, Mask
from sensory_pipeline.core.spans import Span
from sensory_pipeline.engines.diarization.onnx.local_speakers import (
    CLASSES,
    FRAME_SIZE,
    FRAME_STEP,
    FRAMES,
    WINDOW,
    WINDOW_STEP,
    alone,
    local_speakers,
    window_count,
)
from sensory_pipeline.engines.diarization.onnx.reconstruction import (
    NOBODY,
    activity,
    people_at_once,
    speaker_count,
    turns,
)

STEP = WINDOW_STEP * FRAME_STEP
MINUTE = Span(start_ms=0, end_ms=60_000)


def pcm(samples: int) -> Waveform:
    return Waveform(samples=np.arange(samples).astype(np.int16)[None])


def windows(*spoken: dict[int, range]) -> Mask:
    """Who speaks in which frames of each window."""
    found = np.zeros((len(spoken), FRAMES, 3), np.bool_)
    for window, voices in zip(found, spoken, strict=True):
        for voice, frames in voices.items():
            window[frames, voice] = True
    return found


@pytest.mark.parametrize(
    ("samples", "expected"), [(1, 1), (WINDOW, 1), (WINDOW + 1, 2), (WINDOW + STEP, 2), (WINDOW + STEP + 1, 3)]
)
def test_windows_cover_the_end(samples: int, expected: int) -> None:
    assert window_count(samples) == expected


def test_the_last_frame_of_a_window_depends_on_its_end() -> None:
    assert WINDOW - FRAME_STEP < (FRAMES - 1) * FRAME_STEP + FRAME_SIZE <= WINDOW


def test_every_window_is_computed_once_and_padded_with_silence() -> None:
    heard: list[Floats] = []

    def scores(sounds: Floats) -> Floats:
        heard.extend(sounds[:, 0])
        return np.zeros((len(sounds), FRAMES, CLASSES), np.float32)

    sound = pcm(WINDOW + 5 * STEP + 7)
    assert local_speakers(sound, scores).shape == (7, FRAMES, 3)
    whole = np.pad(sound.mono(), (0, WINDOW))
    assert len(heard) == 7
    for number, window in enumerate(heard):
        np.testing.assert_array_equal(window, whole[number * STEP : number * STEP + WINDOW])


def test_classes_are_sets_of_voices() -> None:
    def scores(sounds: Floats) -> Floats:
        return np.eye(CLASSES, dtype=np.float32)[None, np.arange(FRAMES) % CLASSES]

    (found,) = local_speakers(pcm(100), scores)
    sets = [set(np.flatnonzero(frame).tolist()) for frame in found[:CLASSES]]
    assert sets == [set(), {0}, {1}, {2}, {0, 1}, {0, 2}, {1, 2}]


def test_who_speaks_alone() -> None:
    spoken = windows({0: range(10), 1: range(5, 20)})
    expected = windows({0: range(5), 1: range(10, 20)})
    np.testing.assert_array_equal(alone(spoken), expected)


def test_windows_vote_on_how_many_speak() -> None:
    everywhere = range(FRAMES)
    spoken = windows({0: everywhere}, {0: everywhere, 1: everywhere}, {2: everywhere, 1: everywhere})
    count = speaker_count(spoken)
    assert len(count) == FRAMES + 2 * WINDOW_STEP
    assert set(count[:WINDOW_STEP]) == {1}  # heard by the first window alone
    assert set(count[2 * WINDOW_STEP : FRAMES]) == {2}  # (1 + 2 + 2) / 3
    assert set(count[-WINDOW_STEP:]) == {2}


@pytest.mark.parametrize(
    ("seconds", "of", "expected"),
    [
        ({0: 50}, "silence", 1),
        ({1: 30}, "one voice", 1),
        ({1: 30, 2: 1}, "two for a moment", 1),
        ({1: 30, 2: 3}, "two", 2),
        ({1: 600, 2: 3}, "two, but hardly ever in so much speech", 1),
        ({1: 10, 2: 3, 3: 4}, "three", 3),
        ({1: 10, 2: 1, 3: 1.5}, "two, together with the three of a moment", 2),
    ],
)
def test_the_least_number_of_speakers(seconds: dict[int, float], of: str, expected: int) -> None:
    frames = [np.full(round(duration * SAMPLE_RATE / FRAME_STEP), number) for number, duration in seconds.items()]
    assert people_at_once(np.concatenate([*frames, np.zeros(9, np.intp)])) == expected, of


def test_the_majority_of_windows_decides_who_speaks() -> None:
    part = range(200, 300)
    spoken = windows({0: part}, {1: range(200 - 59, 300 - 59)}, {2: range(200 - 118, 300 - 118)})
    names = np.array([[4, NOBODY, NOBODY], [NOBODY, 1, NOBODY], [NOBODY, NOBODY, 1]])
    everybody, foremost = activity(spoken, names, speaker_count(spoken))
    assert everybody.shape == (FRAMES + 118, 5)
    assert np.flatnonzero(everybody.any(axis=0)).tolist() == [1]
    assert np.flatnonzero(everybody[:, 1]).tolist() == list(part)
    np.testing.assert_array_equal(foremost, everybody)


def test_exclusive_turns_have_one_of_two_simultaneous_speakers() -> None:
    spoken = windows({0: range(100, 300), 1: range(200, 400)})
    everybody, foremost = activity(spoken, np.array([[0, 1, NOBODY]]), speaker_count(spoken))
    assert [int(n) for n in everybody.sum(axis=0)] == [200, 200]
    assert foremost.sum(axis=1).max() == 1
    np.testing.assert_array_equal(foremost.any(axis=1), everybody.any(axis=1))


def test_two_voices_of_one_speaker_count_as_one() -> None:
    spoken = windows({0: range(100), 1: range(100), 2: range(200, 300)})
    everybody, _ = activity(spoken, np.array([[0, 0, 1]]), speaker_count(spoken))
    assert everybody[:100].sum() == 100


def test_a_voice_without_a_speaker_has_no_turn() -> None:
    spoken = windows({0: range(100), 1: range(200, 300)})
    everybody, _ = activity(spoken, np.array([[NOBODY, 0, NOBODY]]), speaker_count(spoken))
    assert np.flatnonzero(everybody[:, 0]).tolist() == list(range(200, 300))


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_no_more_speakers_are_active_than_were_counted(number: int, speakers: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = rng.random((number, FRAMES // 20 + 1, 3)) < 0.3
    spoken = edges.repeat(20, axis=1)[:, :FRAMES]
    names = np.where(spoken.any(axis=1), rng.integers(0, speakers, (number, 3)), NOBODY)
    names[0, 0] = 0
    count = speaker_count(spoken)
    everybody, foremost = activity(spoken, names, count)
    assert (everybody.sum(axis=1) <= count).all()
    assert (foremost.sum(axis=1) <= 1).all()
    assert not (foremost & ~everybody).any()


def test_turns_match_the_frames() -> None:
    active = np.zeros((600, 2), np.bool_)
    active[100:200, 1] = active[150:300, 0] = active[400:401, 1] = True
    found = turns(active, MINUTE)
    assert [speaker for _, speaker in found] == [1, 0, 1]
    first, second, short = (span for span, _ in found)
    for span, frame in ((first, 100), (second, 150), (short, 400)):
        centre_s = (FRAME_SIZE / 2 + frame * FRAME_STEP) / SAMPLE_RATE
        assert span.start_s == pytest.approx(centre_s, abs=FRAME_STEP / SAMPLE_RATE)
    assert first.duration_s == pytest.approx(100 * FRAME_STEP / SAMPLE_RATE, abs=0.001)
    assert short.duration_ms == 17


def test_turns_end_with_the_recording() -> None:
    active = np.ones((FRAMES, 1), np.bool_)
    assert turns(active, Span(start_ms=0, end_ms=2000))[0][0].end_ms == 2000
    assert turns(active, Span(start_ms=0, end_ms=10)) == []
