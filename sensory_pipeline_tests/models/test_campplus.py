"""CAM++: what its weights are, what it makes of voices, and that only its pooling knows whose is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.waveform import SAMPLE_RATE
from sensory_pipeline_tests import places
from sensory_pipeline_tests.published_models import published

torch = pytest.importorskip("torch")

if TYPE_CHECKING:
    from torch import Tensor

    from sensory_pipeline.engines.diarization.pyannote.campplus import CamPlusPlus

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("pyannote_audio", "one_thread")]

DATA = places.DATA / "gigaam"
TENSORS = 937
FRAMES = 589
"""Of segmentation-3.0 in its window of 10 s."""


@pytest.fixture(scope="module")
def network() -> CamPlusPlus:
    """With random weights, and normalised by what it has heard, so that a sound makes a difference at its end."""
    from sensory_pipeline.engines.diarization.pyannote.campplus import CamPlusPlus

    torch.manual_seed(1)
    made: CamPlusPlus = CamPlusPlus().train()
    for module in made.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = None  # as it was in all that was heard
    with torch.no_grad():
        made(torch.cat([voice("jfk16", 0, 3), voice("fl16_slt", 0, 3)]))
    return made.eval()


@pytest.fixture(scope="module")
def trained() -> CamPlusPlus:
    from sensory_pipeline.engines.diarization.pyannote.campplus import CamPlusPlus

    (path,) = published("campplus").glob("*.pt")
    return CamPlusPlus.restored(torch.load(path, weights_only=True))


def voice(name: str, start_s: float, end_s: float) -> Tensor:
    """Part of a recording, shape (1, 1, samples)."""
    samples = decode(DATA / f"{name}.wav", max_duration_s=60).pcm.mono()
    sound: Tensor = torch.from_numpy(samples)[None, None, round(start_s * SAMPLE_RATE) : round(end_s * SAMPLE_RATE)]
    return sound


@pytest.mark.parametrize("samples", [400, 401, 16_000, 110_000])
def test_a_sound_becomes_192_numbers(samples: int, network: CamPlusPlus) -> None:
    with torch.inference_mode():
        found = network(voice("jfk16", 0, samples / SAMPLE_RATE), weights=torch.ones(1, FRAMES))
    assert found.shape == (1, network.dimension) == (1, 192)
    assert found.isfinite().all()


def test_each_voice_has_the_embedding_that_it_has_alone(network: CamPlusPlus) -> None:
    sounds = torch.cat([voice("jfk16", 0, 3), voice("fl16_slt", 0, 3)])
    weights = torch.zeros(2, 3, FRAMES)
    for speaker in range(3):
        weights[:, speaker, 100 * speaker : 150 * (speaker + 1)] = 1
    with torch.inference_mode():
        together = network(sounds, weights=weights)
        assert together.shape == (2, 3, 192)
        for number, sound in enumerate(sounds):
            for speaker in range(3):
                alone = network(sound[None], weights=weights[number, speaker][None])
                torch.testing.assert_close(together[number, speaker], alone[0], rtol=1e-4, atol=1e-4)
    assert (together[:, 0] - together[:, 1]).abs().amax(dim=1).min() > 0.01
    assert together.min() < 0 < together.max()  # no ReLU comes last


def test_equal_weights_give_the_embedding_of_the_whole_sound(network: CamPlusPlus) -> None:
    sound = voice("jfk16", 0, 3)
    with torch.inference_mode():
        torch.testing.assert_close(network(sound, weights=torch.ones(1, FRAMES)), network(sound), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("frames", [1, 99, 100, 101, 499])
def test_a_channel_is_weighted_by_the_sound_and_by_the_two_seconds_around(frames: int) -> None:
    from sensory_pipeline.engines.diarization.pyannote.campplus import _MaskedConvolution

    torch.manual_seed(4)
    layer = _MaskedConvolution(dilation=2).eval()
    x = torch.randn(1, 128, frames)
    with torch.inference_mode():
        found, local = layer(x), layer.linear_local(x)
        for frame in range(frames):
            first = frame // 100 * 100
            context = (x.mean(dim=2) + x[:, :, first : first + 100].mean(dim=2))[..., None]
            mask = torch.sigmoid(layer.linear2(torch.relu(layer.linear1(context))))
            torch.testing.assert_close(found[..., frame], local[..., frame] * mask[..., 0], rtol=1e-4, atol=1e-5)


def test_other_weights_are_refused(network: CamPlusPlus) -> None:
    weights = network.state_dict()
    weights.pop("xvector.dense.linear.weight")
    with pytest.raises(RuntimeError, match=r"xvector\.dense\.linear\.weight"):
        type(network).restored(weights)


def test_the_published_weights_are_complete(trained: CamPlusPlus) -> None:
    weights = trained.state_dict()
    assert len(weights) == TENSORS
    assert weights["xvector.dense.linear.weight"].shape == (192, 1024, 1)


def test_the_published_weights_distinguish_voices(trained: CamPlusPlus) -> None:
    sounds = [voice("jfk16", 0, 5), voice("jfk16", 5.5, 10.5), voice("fl16_slt", 0, 3.5), voice("fl16_slt", 3.5, 7)]
    with torch.inference_mode():
        vectors = np.stack([trained(sound)[0].numpy() for sound in sounds])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = vectors @ vectors.T
    assert min(alike[0, 1], alike[2, 3]) > 0.6
    assert alike[:2, 2:].max() < 0.3
