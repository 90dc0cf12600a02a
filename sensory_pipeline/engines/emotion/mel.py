"""GigaAM's features: logarithms of the power in bands of the HTK mel scale, 100 times a second.

Modules are named as in the published checkpoint, which holds the window and the bands too. A new network
gets the same ones from here.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch  # noqa: TID253  only emotion_network.py imports this file
from torch import Tensor, nn  # noqa: TID253

from sensory_pipeline.audio.waveform import SAMPLE_RATE

HOP = 160
"""Samples from one frame to the next."""


class LogMel(nn.Module):
    """From sound at 16 kHz, shape (samples,), to features, shape (samples // HOP + 1, mels).

    Args:
        window: Samples of a window.
        mels: Number of bands.
    """

    def __init__(self, window: int, mels: int) -> None:
        super().__init__()
        spectrum = OrderedDict(spectrogram=_Spectrogram(window), mel_scale=_MelScale(window, mels))
        self.featurizer = nn.Sequential(nn.Sequential(spectrum))

    def forward(self, sound: Tensor) -> Tensor:
        power: Tensor = self.featurizer(sound)
        return power.clamp(1e-9, 1e9).log()


class _Spectrogram(nn.Module):
    """Power of Hann windows centred on every HOP-th sample, the sound mirrored at both ends."""

    window: Tensor

    def __init__(self, window: int) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(window))

    def forward(self, sound: Tensor) -> Tensor:
        spectrum = torch.stft(
            sound, len(self.window), HOP, window=self.window, center=True, pad_mode="reflect", return_complex=True
        )
        return spectrum.abs().square().T


class _MelScale(nn.Module):
    """Triangles of height 1, evenly spaced on the HTK mel scale from 0 Hz to half the sample rate."""

    fb: Tensor

    def __init__(self, window: int, mels: int) -> None:
        super().__init__()
        top = SAMPLE_RATE / 2
        edges = 700 * (10 ** (torch.linspace(0, 2595 * math.log10(1 + top / 700), mels + 2) / 2595) - 1)
        bins = torch.linspace(0, top, window // 2 + 1)[:, None]
        rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
        falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
        self.register_buffer("fb", torch.minimum(rising, falling).clamp(min=0))

    def forward(self, power: Tensor) -> Tensor:
        return power @ self.fb
