"""Sizes of Whisper models (arXiv 2212.04356, and the published configurations)."""

from __future__ import annotations

from dataclasses import dataclass

ENCODER_POSITIONS = 1500
"""Of 20 ms each: the window of 30 s, to which faster-whisper pads whatever the model's configuration says."""
DECODER_POSITIONS = 448


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of a model.

    Attributes:
        mels: Number of mel bands.
        dimensions: Width of the layers.
        heads: Heads per attention.
        encoder_layers: Number of layers.
        decoder_layers: Number of layers.
        alignment_heads: (decoder layer, head) pairs whose attention gives the times of words.
    """

    mels: int
    dimensions: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    alignment_heads: tuple[tuple[int, int], ...]


MINIATURE = Shape(mels=80, dimensions=64, heads=2, encoder_layers=3, decoder_layers=2, alignment_heads=((1, 0),))
TINY = Shape(
    mels=80,
    dimensions=384,
    heads=6,
    encoder_layers=4,
    decoder_layers=4,
    alignment_heads=((2, 2), (3, 0), (3, 2), (3, 3), (3, 4), (3, 5)),
)
BASE = Shape(
    mels=80,
    dimensions=512,
    heads=8,
    encoder_layers=6,
    decoder_layers=6,
    alignment_heads=((3, 1), (4, 2), (4, 3), (4, 7), (5, 1), (5, 2), (5, 4), (5, 6)),
)
SMALL = Shape(
    mels=80,
    dimensions=768,
    heads=12,
    encoder_layers=12,
    decoder_layers=12,
    alignment_heads=((5, 3), (5, 9), (8, 0), (8, 4), (8, 7), (8, 8), (9, 0), (9, 7), (9, 9), (10, 5)),
)
LARGE_V3_TURBO = Shape(
    mels=128,
    dimensions=1280,
    heads=20,
    encoder_layers=32,
    decoder_layers=4,
    alignment_heads=((2, 4), (2, 11), (3, 3), (3, 6), (3, 11), (3, 14)),
)
