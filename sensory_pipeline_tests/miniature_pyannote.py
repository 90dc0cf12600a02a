"""The networks of the miniature pyannote pipeline: its checkpoints name these classes by their import path."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pyannote.audio.core.model import Model  # noqa: TID253 - imported by pyannote when it loads a checkpoint
from pyannote.audio.models.embedding.xvector import XVectorMFCC  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253
from torchaudio.transforms import MelSpectrogram

MELS = 40
HOP = 320
WINDOW = 512
"""In samples at 16 kHz."""


class TinySeg(Model):
    """Who of three speaks when: log-mel of 20 ms, normalised per chunk, two BiLSTM layers, powerset classes."""

    def __init__(
        self, sample_rate: int = 16_000, num_channels: int = 1, hidden: int = 64, task: Any | None = None
    ) -> None:
        super().__init__(sample_rate=sample_rate, num_channels=num_channels, task=task)
        self.save_hyperparameters("hidden")
        self.mel = MelSpectrogram(sample_rate, n_fft=WINDOW, win_length=480, hop_length=HOP, n_mels=MELS, f_max=7600.0)
        self.lstm = nn.LSTM(MELS, hidden, num_layers=2, bidirectional=True, batch_first=True)

    @property
    def dimension(self) -> int:
        """Classes a frame."""
        specifications: Any = self.specifications
        return int(specifications.num_powerset_classes)

    def build(self) -> None:
        """The last layer, once the specifications are known."""
        self.classifier = nn.Linear(2 * self.lstm.hidden_size, self.dimension)
        self.activation: Any = self.default_activation()

    @lru_cache  # noqa: B019 - pyannote's own models do so; they live as long as the process
    def num_frames(self, num_samples: int) -> int:
        return 1 + num_samples // HOP

    def receptive_field_size(self, num_frames: int = 1) -> int:
        return WINDOW + (num_frames - 1) * HOP

    def receptive_field_center(self, frame: int = 0) -> int:
        return frame * HOP

    def encode(self, waveforms: Tensor) -> Tensor:
        """(batch, 1, samples) to (batch, frames, 2 * hidden)."""
        mel = (self.mel(waveforms)[:, 0] + 1e-6).log()
        mean, deviation = mel.mean((1, 2), keepdim=True), mel.std((1, 2), keepdim=True)
        normalised = ((mel - mean) / (deviation + 1e-3)).transpose(1, 2)
        encoded: Tensor = self.lstm(normalised)[0]
        return encoded

    def forward(self, waveforms: Tensor, **_: Any) -> Tensor:
        """(batch, 1, samples) to log-probabilities (batch, frames, classes)."""
        scores: Tensor = self.activation(self.classifier(self.encode(waveforms)))
        return scores


class TinyXVector(XVectorMFCC):
    """The x-vector network of pyannote with few channels; an embedding a chunk."""

    def __init__(
        self,
        sample_rate: int = 16_000,
        num_channels: int = 1,
        mfcc: dict[str, Any] | None = None,
        dimension: int = 64,
        channels: int = 64,
        task: Any | None = None,
    ) -> None:
        super().__init__(sample_rate=sample_rate, num_channels=num_channels, mfcc=mfcc, dimension=dimension, task=task)
        self.save_hyperparameters("channels")
        inner = self.mfcc.n_mfcc
        layers: list[nn.Module] = []
        outers = [channels] * 4 + [3 * channels]
        for outer, kernel, dilation in zip(outers, self.kernel_size, self.dilation, strict=True):
            layers += [nn.Conv1d(inner, outer, kernel, dilation=dilation), nn.LeakyReLU(), nn.BatchNorm1d(outer)]
            inner = outer
        self.tdnns = nn.ModuleList(layers)
        self.embedding = nn.Linear(2 * inner, dimension)
