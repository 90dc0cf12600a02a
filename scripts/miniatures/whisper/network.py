"""Whisper's network (arXiv 2212.04356) in PyTorch, with Hugging Face's parameter names."""

from __future__ import annotations

import math

import torch  # noqa: TID253 - training code
from torch import Tensor, nn  # noqa: TID253
from torch.nn import functional as F  # noqa: N812, TID253

from scripts.miniatures.whisper.shape import DECODER_POSITIONS, ENCODER_POSITIONS, Shape


class Attention(nn.Module):
    """Multi-head attention."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.q_proj = nn.Linear(shape.dimensions, shape.dimensions)
        self.k_proj = nn.Linear(shape.dimensions, shape.dimensions, bias=False)
        self.v_proj = nn.Linear(shape.dimensions, shape.dimensions)
        self.out_proj = nn.Linear(shape.dimensions, shape.dimensions)

    def forward(self, inputs: Tensor, *, bias: Tensor | None = None, causal: bool = False) -> Tensor:
        """Attend to the inputs themselves."""
        queries, keys, values = self._projected(inputs, inputs)
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, is_causal=causal)
        return self._joined(mixed)

    def across(self, inputs: Tensor, memory: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Attend to the memory; return also the log weights, shape (batch, heads, inputs, memory)."""
        queries, keys, values = self._projected(inputs, memory)
        weights = (queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1]) + bias).log_softmax(-1)
        return self._joined(weights.exp() @ values), weights

    def _projected(self, inputs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        projected = (self.q_proj(inputs), self.k_proj(memory), self.v_proj(memory))
        queries, keys, values = (each.unflatten(2, (self.heads, -1)).transpose(1, 2) for each in projected)
        return queries, keys, values

    def _joined(self, mixed: Tensor) -> Tensor:
        joined: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return joined


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.self_attn = Attention(shape)
        self.self_attn_layer_norm = nn.LayerNorm(shape.dimensions)
        self.fc1 = nn.Linear(shape.dimensions, 4 * shape.dimensions)
        self.fc2 = nn.Linear(4 * shape.dimensions, shape.dimensions)
        self.final_layer_norm = nn.LayerNorm(shape.dimensions)

    def forward(self, inputs: Tensor, bias: Tensor) -> Tensor:
        attended = inputs + self.self_attn(self.self_attn_layer_norm(inputs), bias=bias)
        hidden: Tensor = attended + self.fc2(F.gelu(self.fc1(self.final_layer_norm(attended))))
        return hidden


class DecoderLayer(nn.Module):
    """Self-attention, cross-attention and a feed-forward network."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.self_attn = Attention(shape)
        self.self_attn_layer_norm = nn.LayerNorm(shape.dimensions)
        self.encoder_attn = Attention(shape)
        self.encoder_attn_layer_norm = nn.LayerNorm(shape.dimensions)
        self.fc1 = nn.Linear(shape.dimensions, 4 * shape.dimensions)
        self.fc2 = nn.Linear(4 * shape.dimensions, shape.dimensions)
        self.final_layer_norm = nn.LayerNorm(shape.dimensions)

    def forward(self, inputs: Tensor, encoded: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        inputs = inputs + self.self_attn(self.self_attn_layer_norm(inputs), causal=True)
        attended, weights = self.encoder_attn.across(self.encoder_attn_layer_norm(inputs), encoded, bias)
        inputs = inputs + attended
        return inputs + self.fc2(F.gelu(self.fc1(self.final_layer_norm(inputs)))), weights


class Encoder(nn.Module):
    """Mel features to encoded frames."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(shape.mels, shape.dimensions, 3, padding=1)
        self.conv2 = nn.Conv1d(shape.dimensions, shape.dimensions, 3, stride=2, padding=1)
        positions = sinusoids(ENCODER_POSITIONS, shape.dimensions)
        self.embed_positions = nn.Embedding.from_pretrained(positions)  # type: ignore[no-untyped-call]
        self.layers = nn.ModuleList(EncoderLayer(shape) for _ in range(shape.encoder_layers))
        self.layer_norm = nn.LayerNorm(shape.dimensions)

    def forward(self, mel: Tensor, first: Tensor, bias: Tensor) -> Tensor:
        """Encode windows.

        Args:
            mel: (batch, mels, 10 ms).
            first: Position of each window's start, (batch,).
            bias: Added to the attention to each frame.
        """
        hidden = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)
        hidden = hidden + self.embed_positions(first[:, None] + torch.arange(hidden.shape[1]))
        for layer in self.layers:
            hidden = layer(hidden, bias)
        normed: Tensor = self.layer_norm(hidden)
        return normed


class Decoder(nn.Module):
    """Tokens and encoded frames to the next tokens."""

    def __init__(self, shape: Shape, vocabulary: int) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(vocabulary, shape.dimensions)
        self.embed_positions = nn.Embedding(DECODER_POSITIONS, shape.dimensions)
        self.layers = nn.ModuleList(DecoderLayer(shape) for _ in range(shape.decoder_layers))
        self.layer_norm = nn.LayerNorm(shape.dimensions)
        nn.init.normal_(self.embed_tokens.weight, std=shape.dimensions**-0.5)
        nn.init.normal_(self.embed_positions.weight, std=0.02)

    def forward(self, tokens: Tensor, encoded: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Decode tokens.

        Returns:
            Logits (batch, tokens, vocabulary), and the first heads' log attention (layers, batch, tokens, frames).
        """
        hidden = self.embed_tokens(tokens) + self.embed_positions.weight[: tokens.shape[1]]
        attention = []
        for layer in self.layers:
            hidden, weights = layer(hidden, encoded, bias)
            attention.append(weights[:, 0])
        return self.layer_norm(hidden) @ self.embed_tokens.weight.T, torch.stack(attention)


class Whisper(nn.Module):
    """Encoder and decoder."""

    def __init__(self, shape: Shape, vocabulary: int) -> None:
        super().__init__()
        self.encoder = Encoder(shape)
        self.decoder = Decoder(shape, vocabulary)


def sinusoids(length: int, channels: int) -> Tensor:
    """Return Whisper's fixed positions, shape (length, channels)."""
    scales = torch.exp(-math.log(10_000) / (channels // 2 - 1) * torch.arange(channels // 2))
    angles = torch.arange(length)[:, None] * scales
    return torch.cat([angles.sin(), angles.cos()], dim=1)
