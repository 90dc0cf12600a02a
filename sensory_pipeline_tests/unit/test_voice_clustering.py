"""Voices become speakers: as many as there are, or as were asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensory_pipeline.core.arrays import Floats, Mask
from sensory_pipeline.engines.diarization.onnx import speaker_clustering
from sensory_pipeline.engines.diarization.onnx.local_speakers import FRAMES
from sensory_pipeline.engines.diarization.onnx.reconstruction import NOBODY, Names
from sensory_pipeline.engines.diarization.onnx.speaker_clustering import cluster_speakers

Owners = list[tuple[int | None, int | None, int | None]]
"""Who the voices of each window are, None for a silent one."""


def voices(owners: Owners, *, seed: int = 0, spread: float = 0.25, frames: int = 190) -> tuple[Floats, Mask]:
    """Vectors around one of the speaker, and voices that speak one after the other for this many frames."""
    rng = np.random.default_rng(seed)
    people = np.linalg.qr(rng.normal(size=(16, 16)))[0]
    vectors = np.full((len(owners), 3, 16), np.nan, np.float32)
    speaking = np.zeros((len(owners), FRAMES, 3), np.bool_)
    for window, owner in enumerate(owners):
        for voice, person in enumerate(owner):
            if person is not None:
                noise = rng.normal(size=16)
                vectors[window, voice] = rng.uniform(1, 5) * (people[person] + spread * noise / np.linalg.norm(noise))
                speaking[window, voice * 195 : voice * 195 + frames, voice] = True
    return vectors, speaking


def grouping(names: Names, owners: Owners) -> dict[int, set[int]]:
    """The speakers that each person was given."""
    found: dict[int, set[int]] = {}
    for owner, given_names in zip(owners, names.tolist(), strict=True):
        for person, name in zip(owner, given_names, strict=True):
            if person is None:
                assert name == NOBODY
            else:
                found.setdefault(person, set()).add(name)
    return found


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_each_person_is_one_speaker(people: int, seed: int) -> None:
    order = [window % people for window in range(8 * people)]
    owners: Owners = [(person, (person + 1) % people if people > 1 else None, None) for person in order]
    vectors, speaking = voices(owners, seed=seed)
    names, centres = cluster_speakers(vectors, speaking, least=1, most=None)
    found = grouping(names, owners)
    assert all(len(speakers) == 1 for speakers in found.values())
    assert len(set.union(*found.values())) == people == len(centres)


@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.integers(1, 30), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=100)
def test_bounds_on_the_number_of_speakers_hold(people: int, one: int, other: int, windows: int, seed: int) -> None:
    least, most = min(one, other), max(one, other)
    owners: Owners = [(window % people, None, None) for window in range(windows)]
    vectors, speaking = voices(owners, seed=seed)
    _, centres = cluster_speakers(vectors, speaking, least=least, most=most)
    assert min(least, windows) <= len(centres) <= most


@pytest.mark.parametrize("wanted", [1, 2, 3, 4])
def test_the_requested_number_of_speakers_is_kept(wanted: int) -> None:
    owners: Owners = [(window % 3, None, None) for window in range(30)]
    vectors, speaking = voices(owners)
    names, centres = cluster_speakers(vectors, speaking, least=wanted, most=wanted)
    assert len(centres) == wanted
    if wanted == 3:
        assert all(len(speakers) == 1 for speakers in grouping(names, owners).values())


def test_one_more_speaker_divides_similar_voices_rather_than_a_stray_sound() -> None:
    owners: Owners = [*[(0, None, None)] * 30, *[(1, None, None)] * 30, (2, None, None)]
    vectors, speaking = voices(owners, spread=0.1)
    lengths = np.linalg.norm(vectors[:, :1], axis=2, keepdims=True)
    vectors[:, :1] /= lengths
    vectors[30:60, 0] += 3 * vectors[:30, 0]
    assert len(cluster_speakers(vectors, speaking, least=1, most=None)[1]) == 1
    names, centres = cluster_speakers(vectors, speaking, least=2, most=2)
    assert len(centres) == 2
    assert {frozenset(names[:30, 0]), frozenset(names[30:60, 0])} == {frozenset([0]), frozenset([1])}


def test_if_no_voice_is_alone_for_long_all_voices_count() -> None:
    owners: Owners = [(0, 1, None)] * 12
    vectors, speaking = voices(owners, frames=40)
    names, _ = cluster_speakers(vectors, speaking, least=1, most=None)
    assert sorted(map(sorted, grouping(names, owners).values())) == [[0], [1]]


def test_brief_voices_join_the_nearest_speaker_and_do_not_make_one() -> None:
    owners: Owners = [(window % 2, None, None) for window in range(20)]
    vectors, speaking = voices([*owners, (2, None, None), (0, 1, None)])
    speaking[20:] &= np.arange(FRAMES)[:, None] % 10 == 0
    names, centres = cluster_speakers(vectors, speaking, least=1, most=None)
    assert len(centres) == 2
    assert names[20, 0] in (0, 1)
    assert names[21, :2].tolist() == names[[0, 1], 0].tolist()


def test_voices_of_one_window_are_different_people() -> None:
    owners: Owners = [(window % 2, None, None) for window in range(20)]
    vectors, speaking = voices([*owners, (0, 0, None), (0, 1, 0)])
    vectors[20, 1] *= 0.9
    names, _ = cluster_speakers(vectors, speaking, least=1, most=None)
    first, second = names[0, 0], names[1, 0]
    assert sorted(names[20, :2]) == sorted([first, second])
    # there are but two speakers for three voices: the third is who it is most like
    assert names[21, 1] == second
    assert names[21, 0] == names[21, 2] == first


def test_no_speech_gives_no_speakers() -> None:
    vectors, speaking = voices([(None, None, None)] * 3)
    names, centres = cluster_speakers(vectors, speaking, least=2, most=2)
    assert (names == NOBODY).all()
    assert len(centres) == 0


def test_of_very_many_voices_a_sample_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaker_clustering, "MOST_CLUSTERED", 40)
    owners: Owners = [(window % 3, None, None) for window in range(300)]
    vectors, speaking = voices(owners)
    names, centres = cluster_speakers(vectors, speaking, least=1, most=None)
    assert len(centres) == 3
    assert all(len(speakers) == 1 for speakers in grouping(names, owners).values())
    again, _ = cluster_speakers(vectors, speaking, least=1, most=None)
    np.testing.assert_array_equal(again, names)
