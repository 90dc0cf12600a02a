"""CAM++, a speaker embedding network.

H. Wang et al., "CAM++: A Fast and Efficient Network for Speaker Verification Using Context-Aware Masking",
Interspeech 2023. Sizes and names of modules are those of 3D-Speaker's published checkpoint "CAM++ zh-en common
advanced" (iic/speech_campplus_sv_zh_en_16k-common_advanced, Apache-2.0).

Log-mel features go through 2-d convolutions over time and frequency, then through three densely connected blocks
of 1-d convolutions over time, whose channels are weighted by their context. All of this runs once for a
sound; only the pooling at its end depends on the speaker. Imported only where a model is loaded, since it
needs torch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Self

import torch  # noqa: TID253  as all of this module
from pyannote.audio.core.model import Model  # noqa: TID253
from pyannote.audio.models.blocks.pooling import StatsPool  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253
from torch.nn import functional as F  # noqa: N812, TID253  as everywhere
from torchaudio.compliance import kaldi

from sensory_pipeline.audio.waveform import SAMPLE_RATE

DIMENSION = 192
"""Numbers in a vector."""
MELS = 80
SEGMENT = 100
"""Frames of 20 ms that are the context of a frame, besides the whole sound: 2 s."""
_MAPS = 32  # of the 2-d convolutions
_BANDS = MELS // 8  # frequencies that are left of them
_WIDTH = 128  # channels that enter the first block, and those inside each dense layer
_GROWTH = 32  # channels that a dense layer adds
_POOLED = 512  # channels that leave the last block


class CamPlusPlus(Model):
    """From sound at 16 kHz to embeddings. A new network has random weights; `restored` loads a checkpoint."""

    def __init__(self, sample_rate: int = SAMPLE_RATE, num_channels: int = 1, task: Any | None = None) -> None:
        super().__init__(sample_rate=sample_rate, num_channels=num_channels, task=task)
        self.head = _Head()
        self.xvector = _XVector()
        self.pooling = StatsPool()

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The network with these weights, in evaluation mode, on the CPU.

        Raises:
            RuntimeError: The tensors are those of another network.
        """
        network = cls()
        network.load_state_dict(tensors)
        return network.eval()

    @property
    def dimension(self) -> int:
        return DIMENSION

    def forward(  # type: ignore[override]  # pyannote's own takes any keyword
        self, waveforms: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Embeddings, shape (batch, 192), or (batch, speakers, 192) if there are weights for several speakers.

        Args:
            waveforms: Shape (batch, 1, samples), at least 400 samples; full scale is 1.
            weights: How much each frame counts, shape (batch, frames) or (batch, speakers, frames), for frames of any
                length; None for the whole sound.
        """
        statistics = self.pooling(self.frames(fbank(waveforms)), weights=weights)
        return self.xvector.vectors(statistics)

    def frames(self, features: Tensor) -> Tensor:
        """The features that are pooled, shape (batch, 512, frames / 2).

        Args:
            features: Log-mel, shape (batch, frames, 80).
        """
        frames: Tensor = self.xvector(self.head(features))
        return frames


def fbank(waveforms: Tensor) -> Tensor:
    """Kaldi's log-mel energies minus their mean over the sound: (batch, 1, samples) -> (batch, frames of 10 ms, 80)."""
    features = torch.stack(
        [kaldi.fbank(sound, num_mel_bins=MELS, sample_frequency=SAMPLE_RATE, dither=0.0) for sound in waveforms]
    )
    return features - features.mean(dim=1, keepdim=True)


class _Head(nn.Module):
    """(batch, frames, 80) -> (batch, 32 maps of 10 bands, frames)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv2d(1, 3), nn.BatchNorm2d(_MAPS)
        self.layer1 = nn.Sequential(_Residual(2), _Residual(1))
        self.layer2 = nn.Sequential(_Residual(2), _Residual(1))
        self.conv2, self.bn2 = _conv2d(_MAPS, 3, stride=2), nn.BatchNorm2d(_MAPS)

    def forward(self, features: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(features.transpose(1, 2)[:, None])))
        x = self.layer2(self.layer1(x))
        return F.relu(self.bn2(self.conv2(x))).flatten(1, 2)


class _Residual(nn.Module):
    """Two convolutions with a shortcut; `stride` is over the bands."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv2d(_MAPS, 3, stride=stride), nn.BatchNorm2d(_MAPS)
        self.conv2, self.bn2 = _conv2d(_MAPS, 3), nn.BatchNorm2d(_MAPS)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.extend([_conv2d(_MAPS, 1, stride=stride), nn.BatchNorm2d(_MAPS)])

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


class _XVector(nn.Module):
    """(batch, 320, frames) -> (batch, 512, frames / 2); and after pooling, `vectors`."""

    def __init__(self) -> None:
        super().__init__()
        self.tdnn = _named(
            linear=nn.Conv1d(_MAPS * _BANDS, _WIDTH, 5, stride=2, padding=2, bias=False), nonlinear=_nonlinear(_WIDTH)
        )
        self.block1, self.transit1 = _dense_block(_WIDTH, layers=12, dilation=1), _transit(512)
        self.block2, self.transit2 = _dense_block(256, layers=24, dilation=2), _transit(1024)
        self.block3, self.transit3 = _dense_block(512, layers=16, dilation=2), _transit(2 * _POOLED)
        self.out_nonlinear = _nonlinear(_POOLED)
        self.dense = _named(
            linear=nn.Conv1d(2 * _POOLED, DIMENSION, 1, bias=False),
            # some copies of the network have a ReLU here; without it more thresholds separate speakers
            nonlinear=_named(batchnorm=nn.BatchNorm1d(DIMENSION, affine=False)),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.tdnn(x)
        x = self.transit1(self.block1(x))
        x = self.transit2(self.block2(x))
        x = self.transit3(self.block3(x))
        out: Tensor = self.out_nonlinear(x)
        return out

    def vectors(self, statistics: Tensor) -> Tensor:
        """(..., mean and deviation of 512 channels) -> (..., 192)."""
        found: Tensor = self.dense(statistics.reshape(-1, 2 * _POOLED, 1))
        return found.view(*statistics.shape[:-1], DIMENSION)


class _DenseLayer(nn.Module):
    """Its input, and 32 further channels."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.nonlinear1 = _nonlinear(channels)
        self.linear1 = nn.Conv1d(channels, _WIDTH, 1, bias=False)
        self.nonlinear2 = _nonlinear(_WIDTH)
        self.cam_layer = _MaskedConvolution(dilation)

    def forward(self, x: Tensor) -> Tensor:
        y = self.nonlinear2(self.linear1(self.nonlinear1(x)))
        return torch.cat([x, self.cam_layer(y)], dim=1)


class _MaskedConvolution(nn.Module):
    """Context-aware masking: channels are weighted, 0 to 1, by the mean of the sound and the mean of 2 s."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.linear_local = nn.Conv1d(_WIDTH, _GROWTH, 3, padding=dilation, dilation=dilation, bias=False)
        self.linear1 = nn.Conv1d(_WIDTH, _WIDTH // 2, 1)
        self.linear2 = nn.Conv1d(_WIDTH // 2, _GROWTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        local: Tensor = self.linear_local(x)
        segments = F.avg_pool1d(x, SEGMENT, ceil_mode=True)  # the last may be shorter
        context = x.mean(dim=2, keepdim=True) + segments
        mask = torch.sigmoid(self.linear2(F.relu(self.linear1(context))))
        return local * mask.repeat_interleave(SEGMENT, dim=2)[..., : x.shape[2]]


def _dense_block(channels: int, *, layers: int, dilation: int) -> nn.Sequential:
    return _named(**{f"tdnnd{k + 1}": _DenseLayer(channels + k * _GROWTH, dilation) for k in range(layers)})


def _transit(channels: int) -> nn.Sequential:
    """Halves the channels."""
    return _named(nonlinear=_nonlinear(channels), linear=nn.Conv1d(channels, channels // 2, 1, bias=False))


def _nonlinear(channels: int) -> nn.Sequential:
    return _named(batchnorm=nn.BatchNorm1d(channels), relu=nn.ReLU(inplace=True))


def _conv2d(maps: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """(batch, maps, bands, frames) -> (batch, 32, bands / stride, frames)."""
    return nn.Conv2d(maps, _MAPS, kernel, stride=(stride, 1), padding=kernel // 2, bias=False)


def _named(**modules: nn.Module) -> nn.Sequential:
    """The modules in sequence."""
    return nn.Sequential(OrderedDict(modules))
