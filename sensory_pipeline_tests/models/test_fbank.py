"""Mel energies are Kaldi's."""

from __future__ import annotations

import numpy as np
import pytest

from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.core.arrays import Floats
from sensory_pipeline.engines.diarization.onnx.fbank import FRAME, HOP, fbank
from sensory_pipeline_tests.engine_contract import SPEECH


@pytest.mark.parametrize("kind", ["speech", "noise", "offset", "one frame"])
def test_energies_are_those_of_torchaudio(kind: str) -> None:
    kaldi = pytest.importorskip("torchaudio.compliance.kaldi", reason="torchaudio, the reference, is not installed")
    import torch

    rng = np.random.default_rng(0)
    sounds: dict[str, Floats] = {
        "speech": decode(SPEECH, max_duration_s=60).pcm.mono()[:48_000],
        "noise": (rng.normal(size=16_000) / 4).astype(np.float32),
        "offset": (0.4 + rng.normal(size=16_000) / 1000).astype(np.float32),
        "one frame": (rng.normal(size=FRAME) / 4).astype(np.float32),
    }
    samples = sounds[kind]
    expected = kaldi.fbank(torch.from_numpy(samples)[None], num_mel_bins=80, dither=0.0, sample_frequency=16_000)
    assert np.abs(fbank(samples) - expected.numpy()).max() < 5e-3


def test_a_tone_is_loudest_in_its_band() -> None:
    def loudest(hz: float) -> int:
        tone = 0.3 * np.sin(2 * np.pi * hz * np.arange(8000) / 16_000)
        (band,) = set(fbank(tone.astype(np.float32)).argmax(axis=1).tolist())
        return int(band)

    def mel(hz: float) -> float:
        return 1127 * float(np.log(1 + hz / 700))

    width = (mel(8000) - mel(20)) / 81
    for hz in (250, 1000, 4000):
        assert loudest(hz) == pytest.approx((mel(hz) - mel(20)) / width - 1, abs=1)


def test_silence_is_finite_and_frames_are_counted() -> None:
    found = fbank(np.zeros(FRAME + 3 * HOP - 1, np.float32))
    assert found.shape == (3, 80)
    np.testing.assert_allclose(found, np.log(np.finfo(np.float32).eps))
