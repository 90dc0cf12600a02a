"""Small sound files made where a test needs them."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np


def tone(path: Path, duration_ms: int, *, hertz: float = 220.0) -> Path:
    """A quiet 16 kHz mono wav with a tone of exactly so many milliseconds."""
    times = np.arange(duration_ms * 16) / 16_000
    samples = (3000 * np.sin(2 * np.pi * hertz * times)).astype("<i2")
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.tobytes())
    return path
