"""Ten minutes without speech, made from a seed: silence, noise, hum, tones and clicks."""

from __future__ import annotations

import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.labelled import Recording
from sensory_pipeline.audio.waveform import SAMPLE_RATE

GROUP = "speechless"
SECONDS = 60
_SEED = 11
_CHORDS = ((220.0, 277.2, 329.6), (246.9, 293.7, 370.0), (196.0, 246.9, 293.7), (220.0, 261.6, 329.6))

Samples = npt.NDArray[np.floating]


def speechless(folder: Path) -> list[Recording]:
    """Write the recordings into a folder as 16-bit WAV at 16 kHz."""
    recordings = []
    for name, samples in _sounds(np.random.default_rng(_SEED)):
        file = folder / f"{name}.wav"
        with wave.open(str(file), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(SAMPLE_RATE)
            sound.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
        recordings.append(
            Recording(
                name=f"{GROUP}/{name}", file=file, group=GROUP, duration_s=SECONDS, channels=1, language="en", text=""
            )
        )
    return recordings


def _sounds(random: np.random.Generator) -> Iterator[tuple[str, Samples]]:
    frames = SECONDS * SAMPLE_RATE
    time = np.arange(frames) / SAMPLE_RATE
    white = random.normal(size=frames)
    yield "silence", np.zeros(frames)
    for level_db in (-60, -40, -20):
        yield f"white_noise_{-level_db}dB", white * _gain(level_db)
    yield "pink_noise", _coloured(white, lambda hz: hz**-0.5) * _gain(-30)
    yield "rumble", _coloured(white, lambda hz: hz**-1.0) * _gain(-25)
    yield "hum", sum((np.sin(2 * np.pi * 50 * n * time) / n for n in range(1, 8)), np.zeros(frames)) * _gain(-26)
    beats = (np.sin(2 * np.pi * 0.7 * time) > 0) * np.sin(2 * np.pi * 425 * time)
    yield "ringing_tone", beats * _gain(-20)
    chords = np.array(_CHORDS)[(time // 2).astype(int) % len(_CHORDS)]
    strokes = np.exp(-3 * (time % 0.5))
    tones = sum(
        (np.sin(2 * np.pi * chords[:, i] * n * time) / n for i in range(3) for n in (1, 2, 3)), np.zeros(frames)
    )
    yield "music", tones * strokes * _gain(-22)
    clicks = np.zeros(frames)
    clicks[random.integers(frames, size=200)] = 0.5
    yield "clicks", clicks + white * _gain(-55)


def _gain(level_db: float) -> float:
    return float(10 ** (level_db / 20))


def _coloured(white: Samples, slope: Callable[[Samples], Samples]) -> Samples:
    """Filter noise: multiply each frequency by `slope` of its hertz, and scale to an RMS of 1."""
    spectrum = np.fft.rfft(white)
    hertz = np.maximum(np.fft.rfftfreq(len(white), 1 / SAMPLE_RATE), 20.0)
    noise = np.fft.irfft(spectrum * slope(hertz), len(white))
    scaled: Samples = noise / noise.std()
    return scaled
