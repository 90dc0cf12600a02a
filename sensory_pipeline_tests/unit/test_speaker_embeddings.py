"""Vectors of voices: what is collected stretch by stretch is what the whole recording gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.arrays import Floats, Mask
from sensory_pipeline.engines.diarization.onnx import speaker_embeddings as module
from sensory_pipeline.engines.diarization.onnx.local_speakers import (
    FRAME_SIZE,
    FRAME_STEP,
    FRAMES,
    WINDOW_STEP,
    window_count,
)
from sensory_pipeline.engines.diarization.onnx.speaker_embeddings import speaker_embeddings

CHANNELS = 3
HOP = 320  # samples


class Ear:
    """A network whose features are means of samples, frame by frame, and whose vectors are the statistics."""

    dimension = 2 * CHANNELS

    def __init__(self) -> None:
        self.heard: list[Floats] = []

    def features(self, samples: Floats) -> Floats:
        self.heard.append(samples)
        frames = (len(samples) - 240) // HOP
        means = samples[: frames * HOP].reshape(frames, HOP).mean(axis=1)
        return np.stack([means, means**2, np.abs(means - 0.1)]).astype(np.float32)

    def embeddings(self, statistics: Floats) -> Floats:
        return statistics


def recording(seed: int, samples: int) -> Waveform:
    return Waveform(samples=np.random.default_rng(seed).integers(-30_000, 30_000, (1, samples)).astype(np.int16))


def speaking(seed: int, samples: int) -> Mask:
    """Three voices that come and go, often two at once."""
    rng = np.random.default_rng(seed)
    blocks = rng.random((window_count(samples), FRAMES // 31 + 1, 3)) < rng.uniform(0, 0.5, 3)
    spoken: Mask = blocks.repeat(31, axis=1)[:, :FRAMES]
    return spoken


def expected(pcm: Waveform, spoken: Mask) -> Floats:
    """Window by window, from the features of the whole recording."""
    features = Ear().features(np.pad(pcm.mono(), (0, 240 + HOP)))
    frames = max(1, (pcm.samples.shape[1] - 240) // HOP)
    centres = np.arange(frames) * HOP + 200
    nearest = np.rint((centres - FRAME_SIZE // 2) / FRAME_STEP).astype(int)
    vectors = np.full((len(spoken), 3, 2 * CHANNELS), np.nan, np.float32)
    for number, window in enumerate(spoken):
        for voice in range(3):
            told = window[:, voice] & (window.sum(axis=1) == 1)
            told = told if told.sum() > 2 else window[:, voice]
            places = nearest - number * WINDOW_STEP
            chosen = [frame for frame, place in enumerate(places) if 0 <= place < FRAMES and told[place]]
            if chosen:
                heard = features[:, chosen].astype(np.float64)
                deviation = heard.std(axis=1, ddof=1) if len(chosen) > 1 else 1e-5
                vectors[number, voice] = np.hstack([heard.mean(axis=1), np.broadcast_to(deviation, CHANNELS)])
    return vectors


@given(st.integers(0, 2**32 - 1), st.integers(1, 600_000), st.sampled_from([70, 333, 500, 4000]))
@settings(deadline=None, max_examples=40)
def test_borders_of_stretches_change_nothing(seed: int, samples: int, stretch: int) -> None:
    pcm, spoken = recording(seed, samples), speaking(seed, samples)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_STRETCH", stretch)
        found = speaker_embeddings(pcm, spoken, Ear())
    np.testing.assert_allclose(found, expected(pcm, spoken), atol=2e-4)


def test_stretches_are_equal_and_cover_the_recording() -> None:
    ear, samples = Ear(), 400_000
    spoken = np.ones((window_count(samples), FRAMES, 3), np.bool_)
    pcm = recording(1, samples)
    speaker_embeddings(pcm, spoken, ear)
    lengths = [len(heard) - 240 for heard in ear.heard]
    assert len(lengths) == 3
    assert max(lengths) - min(lengths) <= HOP
    assert sum(lengths) == (samples - 240) // HOP * HOP
    np.testing.assert_array_equal(ear.heard[0], pcm.mono()[: len(ear.heard[0])])


def test_silence_is_not_computed() -> None:
    ear, samples = Ear(), 1_600_000
    spoken = np.zeros((window_count(samples), FRAMES, 3), np.bool_)
    assert np.isnan(speaker_embeddings(recording(2, samples), spoken, ear)).all()
    assert not ear.heard
    spoken[40, 300:310, 1] = True  # at 44.8 s, in the fifth stretch of ten seconds
    found = speaker_embeddings(recording(2, samples), spoken, ear)
    assert len(ear.heard) == 1
    assert np.argwhere(np.isfinite(found).all(axis=2)).tolist() == [[40, 1]]


def test_a_voice_is_computed_where_it_is_alone() -> None:
    loud = np.concatenate([np.full(80_000, 8000), np.full(80_000, 16_000)]).astype(np.int16)
    spoken = np.zeros((1, FRAMES, 3), np.bool_)
    spoken[0, 100:500, 0] = True
    spoken[0, 310:589, 1] = True
    found = speaker_embeddings(Waveform(samples=loud[None]), spoken, Ear())
    # the first before 310, mostly in the first half, the second after 500
    assert found[0, 1, 0] == pytest.approx(16_000 / 32_768, abs=1e-3)
    assert found[0, 0, 0] == pytest.approx(8000 / 32_768, rel=0.1)
    spoken[0, 100:310, 0] = False  # now it is never alone
    assert speaker_embeddings(Waveform(samples=loud[None]), spoken, Ear())[0, 0, 0] == pytest.approx(
        16_000 / 32_768, abs=1e-3
    )
