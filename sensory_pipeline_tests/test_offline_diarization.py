"""The parts of the offline diarizer, on voices drawn from known distributions and on a sample."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensory_pipeline.audio.decode import decode
from sensory_pipeline.audio.pcm import Pcm
from sensory_pipeline.core.diarization import Turn
from sensory_pipeline.core.requests import DiarizationSettings
from sensory_pipeline.core.spans import Span
from sensory_pipeline.engines.base import DiarizeJob
from sensory_pipeline.engines.diarization import clustering, mfcc
from sensory_pipeline.engines.diarization.clustering import cluster, merge, null_ratio
from sensory_pipeline.engines.diarization.offline import OfflineDiarizer
from sensory_pipeline.engines.diarization.resegmentation import resegment
from sensory_pipeline_tests.engine_contract import SPEECH

Frames = npt.NDArray[np.float32]


def voice(seed: int, frames: int, speaker: int) -> Frames:
    """Cepstra that wander like those of speech: each frame is much like the one before."""
    random, character = np.random.default_rng(seed), np.random.default_rng(1000 + speaker)
    steps = random.standard_normal((frames, 12))
    for i in range(1, frames):
        steps[i] = 0.8 * steps[i - 1] + 0.6 * steps[i]
    return (character.uniform(-1.2, 1.2, 12) + character.uniform(0.7, 1.4, 12) * steps).astype(np.float32)


def grouped(stretches: list[Frames], *, least: int = 1, most: int | None = None) -> list[int]:
    null = null_ratio(stretches)
    first = cluster(stretches, null, least=least)
    members = [
        np.concatenate([s for s, number in zip(stretches, first, strict=True) if number == one])
        for one in range(first.max() + 1)
    ]
    numbers: list[int] = merge(members, null, least=least, most=most)[first].tolist()
    return numbers


def partition(numbers: list[int]) -> list[int]:
    """The same grouping with groups numbered by appearance."""
    order = list(dict.fromkeys(numbers))
    return [order.index(number) for number in numbers]


@pytest.mark.parametrize("speakers", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", [1, 2])
def test_stretches_are_grouped_by_voice(speakers: int, seed: int) -> None:
    truth = [i % speakers for i in range(6 * speakers)]
    lengths = np.random.default_rng(seed).integers(120, 300, len(truth))
    stretches = [voice(100 * seed + i, int(n), s) for i, (n, s) in enumerate(zip(lengths, truth, strict=True))]
    assert partition(grouped(stretches)) == truth


def test_a_recording_of_hours_is_grouped_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = [i % 2 for i in range(24)]
    stretches = [voice(i, 250, speaker) for i, speaker in enumerate(truth)]
    monkeypatch.setattr(clustering, "_PART", 7)
    assert partition(grouped(stretches)) == truth


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 7))
@settings(deadline=None, max_examples=20)
def test_bounds_on_the_number_of_voices_hold(low: int, high: int, count: int) -> None:
    least, most = min(low, high), max(low, high)
    stretches = [voice(i, 60, i % 3) for i in range(count)]
    assert min(least, count) <= len(set(grouped(stretches, least=least, most=most))) <= most


def test_the_change_of_voice_is_found_where_it_is() -> None:
    truth = np.repeat([0, 1, 0], [300, 250, 200])
    cepstra = np.concatenate([voice(1, 300, 0), voice(2, 250, 1), voice(3, 200, 0)])
    guess = np.repeat([0, 1, 0], [260, 330, 160])
    found = resegment(cepstra, guess, audible=np.ones(750, np.bool_), after_pause=np.zeros(750, np.bool_), least=1)
    assert np.flatnonzero(np.diff(found)) == pytest.approx(np.flatnonzero(np.diff(truth)), abs=10)


def test_inaudible_frames_follow_their_neighbours() -> None:
    cepstra = np.concatenate([voice(1, 300, 0), voice(2, 300, 1)])
    audible = np.ones(600, np.bool_)
    audible[100:150] = False
    cepstra[100:150] = voice(4, 50, 1)
    found = resegment(cepstra, np.repeat([0, 1], 300), audible=audible, after_pause=np.zeros(600, np.bool_), least=1)
    assert set(found[:280].tolist()) == {0}


def test_cepstra_are_the_same_in_blocks_and_at_any_level(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = decode(SPEECH, max_duration_s=60).pcm.mono()
    whole, energy = mfcc.mfcc(samples)
    assert whole.shape == (len(samples) // 160, 12)
    assert mfcc.mfcc(samples * np.float32(0.1))[0] == pytest.approx(whole, abs=1e-2)
    monkeypatch.setattr(mfcc, "_BLOCK", 100)
    for part, other in zip(mfcc.mfcc(samples), (whole, energy), strict=True):
        assert part == pytest.approx(other, abs=1e-3)


def turns(samples: npt.NDArray[np.int16], **wanted: int) -> tuple[Turn, ...]:
    job = DiarizeJob(key="a", pcm=Pcm(samples=samples[None]), settings=DiarizationSettings(**wanted))
    ((_, found),) = OfflineDiarizer().diarize([job])
    assert not isinstance(found, Exception)
    assert found.exclusive == found.turns
    return found.turns


@pytest.fixture(scope="module")
def monologue() -> npt.NDArray[np.int16]:
    """President Kennedy, 11 s."""
    samples: npt.NDArray[np.int16] = decode(SPEECH, max_duration_s=60).pcm.samples[0]
    return samples


def test_one_voice_is_one_speaker(monologue: npt.NDArray[np.int16]) -> None:
    assert {turn.speaker for turn in turns(monologue)} == {"SPEAKER_00"}
    assert {turn.speaker for turn in turns(np.tile(monologue, 12))} == {"SPEAKER_00"}


@pytest.mark.parametrize(("pause_ms", "expected"), [(100, 1), (800, 2)])
def test_a_pause_ends_a_turn(monologue: npt.NDArray[np.int16], pause_ms: int, expected: int) -> None:
    phrase = monologue[8100 * 16 : 10500 * 16]
    silence = np.zeros(pause_ms * 16, np.int16)
    lead = np.zeros(8000, np.int16)
    found = turns(np.concatenate([lead, phrase, silence, phrase, lead]), speakers=1)
    assert len(found) == expected
    whole = Span(start_ms=500, end_ms=500 + 2 * 2400 + pause_ms)
    assert found[0].span.start_ms == pytest.approx(whole.start_ms, abs=200)
    assert found[-1].span.end_ms == pytest.approx(whole.end_ms, abs=200)


@pytest.mark.parametrize("wanted", [1, 2, 4])
def test_the_number_of_speakers_asked_for(monologue: npt.NDArray[np.int16], wanted: int) -> None:
    assert len({turn.speaker for turn in turns(monologue, speakers=wanted)}) == wanted
    assert len({turn.speaker for turn in turns(monologue, min_speakers=wanted)}) == wanted
    assert len({turn.speaker for turn in turns(monologue, max_speakers=wanted)}) == 1


def test_more_speakers_than_there_is_speech_for(monologue: npt.NDArray[np.int16]) -> None:
    word = np.concatenate([np.zeros(8000, np.int16), monologue[300 * 16 : 900 * 16], np.zeros(8000, np.int16)])
    found = {turn.speaker for turn in turns(word, speakers=20)}
    assert found == {"SPEAKER_00"}
