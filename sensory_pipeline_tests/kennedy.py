"""Eleven seconds of real speech, as bytes and as text."""

from __future__ import annotations

import re
import wave
from pathlib import Path

import numpy as np
import soxr

from sensory_pipeline.audio.decoding import decode
from sensory_pipeline_tests.engine_contract import SPEECH

SOUND = decode(SPEECH, max_duration_s=60).pcm
KENNEDY = SOUND.samples.tobytes()
"""16 bits at 16 kHz."""
SAID = "and so my fellow americans ask not what your country can do for you ask what you can do for your country"


def plain(text: str) -> list[str]:
    """Its words, without what is written differently by every engine."""
    return re.findall(r"[a-z']+", text.lower())


def resample(sound: bytes, rate: int) -> bytes:
    """The sound, of 16 kHz, at another rate."""
    return bytes(soxr.resample(np.frombuffer(sound, np.int16), 16_000, rate).tobytes())


def wav(path: Path, rate: int = 16_000, sound: bytes = KENNEDY) -> Path:
    """The sound as a file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(sound)
    return path
