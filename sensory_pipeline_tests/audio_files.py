"""Small sound files made where a test needs them."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def tone(path: Path, duration_ms: int, *, hertz: float = 220.0) -> Path:
    """A quiet 16 kHz mono wav with a tone of exactly this many milliseconds."""
    return tones(path, duration_ms, (3000,), hertz=hertz)


def tones(path: Path, duration_ms: int, levels: Sequence[int], *, hertz: float = 220.0) -> Path:
    """The same with a channel for each level, the amplitude of its tone; each channel has a tone of its own."""
    times = np.arange(duration_ms * 16) / 16_000
    pitches = hertz * (1 + np.arange(len(levels)))
    samples = (np.sin(2 * np.pi * times[:, None] * pitches) * np.array(levels)).astype("<i2")
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(levels))
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.tobytes())
    return path
