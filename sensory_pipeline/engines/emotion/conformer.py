"""The encoder of GigaAM-Emo: a Conformer over log-mel frames.

It is that of A. Gulati et al., "Conformer: Convolution-augmented Transformer for Speech
Recognition", Interspeech 2020, with relative positions as in Z. Dai et al., "Transformer-XL", ACL 2019.
Names of modules are those of the published checkpoint's tensors, and every size is read from them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

import torch  # noqa: TID253  modules are classes of torch; imported only to load a model
from torch import Tensor, nn  # noqa: TID253
from torch.nn import functional as F  # noqa: N812, TID253  as everywhere

from sensory_pipeline.core.arrays import Array

Length = TypeVar("Length", int, Tensor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of a network.

    Attributes:
        window: Samples of a window of the spectrogram.
        mels: Mel bands.
        layers: Layers of the encoder.
        width: Width of the encoder.
        heads: Attention heads.
        hidden: Width of the feed-forward layers.
        kernel: Frames of a convolution.
        labels: Labels.
    """

    window: int = 400
    mels: int = 64
    layers: int = 16
    width: int = 768
    heads: int = 16
    hidden: int = 3072
    kernel: int = 31
    labels: int = 4

    @classmethod
    def of(cls, tensors: Mapping[str, Array]) -> Self:
        """The sizes of the network with these tensors.

        Raises:
            KeyError: They are those of another kind of network.
        """
        layer = "encoder.layers.0"
        return cls(
            window=len(tensors["preprocessor.featurizer.0.spectrogram.window"]),
            mels=tensors["preprocessor.featurizer.0.mel_scale.fb"].shape[1],
            layers=len({name.split(".")[2] for name in tensors if name.startswith("encoder.layers.")}),
            width=tensors["head.weight"].shape[1],
            heads=tensors[f"{layer}.self_attn.pos_bias_u"].shape[0],
            hidden=tensors[f"{layer}.feed_forward1.linear1.weight"].shape[0],
            kernel=tensors[f"{layer}.conv.depthwise_conv.weight"].shape[2],
            labels=tensors["head.weight"].shape[0],
        )


class Encoder(nn.Module):
    """Layers of attention and convolution over subsampled frames."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.pre_encode = _Subsampling(shape)
        self.layers = nn.ModuleList(_Block(shape) for _ in range(shape.layers))

    @property
    def dtype(self) -> torch.dtype:
        return self.pre_encode.out.weight.dtype

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, frames, mels) and the number of valid frames -> a quarter as many frames, of the encoder's width."""
        x, lengths = self.pre_encode(features, lengths)
        padding = _padding(x.shape[1], lengths)
        positions = _positions(x.shape[1], x.shape[2]).to(x)
        for layer in self.layers:
            x = layer(x, positions, padding)
        return x, lengths


class _Subsampling(nn.Module):
    """Four frames become one. Padding stays zero, as if there were nothing after the sound."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        sizes = {"0": 1, "2": shape.width}
        self.conv = nn.ModuleDict(
            {name: nn.Conv2d(size, shape.width, 3, stride=2, padding=1) for name, size in sizes.items()}
        )
        self.out = nn.Linear(shape.width * _halved(_halved(shape.mels)), shape.width)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x = features[:, None]
        for conv in self.conv.values():
            x = conv(x)
            lengths = _halved(lengths)
            # in place: for 25 s this is 120 MB in the published shape
            x = F.relu_(x.masked_fill_(_padding(x.shape[2], lengths)[:, None, :, None], 0))
        return self.out(x.transpose(1, 2).flatten(2)), lengths


class _Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm_feed_forward1 = nn.LayerNorm(shape.width)
        self.feed_forward1 = _FeedForward(shape)
        self.norm_self_att = nn.LayerNorm(shape.width)
        self.self_attn = _Attention(shape)
        self.norm_conv = nn.LayerNorm(shape.width)
        self.conv = _Convolution(shape)
        self.norm_feed_forward2 = nn.LayerNorm(shape.width)
        self.feed_forward2 = _FeedForward(shape)
        self.norm_out = nn.LayerNorm(shape.width)

    def forward(self, x: Tensor, positions: Tensor, padding: Tensor) -> Tensor:
        x = x + self.feed_forward1(self.norm_feed_forward1(x)) / 2
        x = x + self.self_attn(self.norm_self_att(x), positions, padding)
        x = x + self.conv(self.norm_conv(x), padding)
        x = x + self.feed_forward2(self.norm_feed_forward2(x)) / 2
        out: Tensor = self.norm_out(x)
        return out


class _FeedForward(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.linear1 = nn.Linear(shape.width, shape.hidden)
        self.linear2 = nn.Linear(shape.hidden, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear2(F.silu(self.linear1(x)))
        return out


class _Convolution(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.pointwise_conv1 = nn.Conv1d(shape.width, 2 * shape.width, 1)
        self.depthwise_conv = nn.Conv1d(
            shape.width, shape.width, shape.kernel, padding=shape.kernel // 2, groups=shape.width
        )
        self.batch_norm = nn.BatchNorm1d(shape.width)
        self.pointwise_conv2 = nn.Conv1d(shape.width, shape.width, 1)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        x = F.glu(self.pointwise_conv1(x.transpose(1, 2)), dim=1).masked_fill(padding[:, None], 0)
        x = F.silu(self.batch_norm(self.depthwise_conv(x)))
        out: Tensor = self.pointwise_conv2(x)
        return out.transpose(1, 2)


class _Attention(nn.Module):
    """Scores = ((q + u) k^T + (q + v) p^T, shifted so that p stands for the distance) / sqrt(width of a head)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.linear_q = nn.Linear(shape.width, shape.width)
        self.linear_k = nn.Linear(shape.width, shape.width)
        self.linear_v = nn.Linear(shape.width, shape.width)
        self.linear_out = nn.Linear(shape.width, shape.width)
        self.linear_pos = nn.Linear(shape.width, shape.width, bias=False)
        biases = (shape.heads, shape.width // shape.heads)
        self.pos_bias_u = nn.Parameter(torch.zeros(biases))
        self.pos_bias_v = nn.Parameter(torch.zeros(biases))

    def forward(self, x: Tensor, positions: Tensor, padding: Tensor) -> Tensor:
        q, k, v, p = (
            linear(y).unflatten(-1, self.pos_bias_u.shape)  # (batch, frames, heads, head's width)
            for linear, y in ((self.linear_q, x), (self.linear_k, x), (self.linear_v, x), (self.linear_pos, positions))
        )
        by_distance = (q + self.pos_bias_v).transpose(1, 2) @ p.permute(1, 2, 0)
        bias = _shifted(by_distance / math.sqrt(q.shape[-1])).masked_fill(padding[:, None, None], -math.inf)
        heard = F.scaled_dot_product_attention(
            (q + self.pos_bias_u).transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=bias
        )
        out: Tensor = self.linear_out(heard.transpose(1, 2).flatten(2))
        return out


def _halved(length: Length) -> Length:
    """The output length of a convolution of 3 with stride 2 and padding 1."""
    return (length - 1) // 2 + 1


def _padding(frames: int, lengths: Tensor) -> Tensor:
    """True after the end of each sound, shape (batch, frames)."""
    return torch.arange(frames, device=lengths.device) >= lengths[:, None]


def _positions(frames: int, width: int) -> Tensor:
    """Sines and cosines of the distances frames - 1 down to 1 - frames, shape (2 * frames - 1, width)."""
    distances = torch.arange(frames - 1, -frames, -1, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
    return torch.stack([(distances * rates).sin(), (distances * rates).cos()], dim=-1).flatten(1)


def _shifted(by_distance: Tensor) -> Tensor:
    """(batch, heads, L, 2L - 1), columns from distance L - 1 down -> (batch, heads, L, L).

    Element [i, j] is element [i, L - 1 - i + j] of the input: each row starts one element earlier in memory, so a view
    is enough.
    """
    batch, heads, length, distances = by_distance.shape
    row = length * distances
    return by_distance.contiguous().as_strided(
        (batch, heads, length, length), (heads * row, row, distances - 1, 1), length - 1
    )
