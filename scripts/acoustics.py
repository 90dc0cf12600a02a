"""Sound arithmetic: levels, noise, and what a telephone leaves of a voice."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64]

AUDIBLE_DB = -35.0
"""Below the loudest 10 ms; softer ends count as silence."""
LOWEST_HZ = 20.0
"""Of noise that can be heard."""
TELEPHONE_HZ = (300.0, 3400.0)
TAPS = 511
"""Of the telephone filter."""


def amplitude(decibels: float) -> float:
    """The factor that changes a level by so many dB."""
    return float(10 ** (decibels / 20))


def rms(samples: Samples) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(samples**2)))


def audible(samples: Samples, rate_hz: int) -> slice:
    """From the first to the last 10 ms that can be heard beside the loudest."""
    step = rate_hz // 100
    blocks = samples[: len(samples) // step * step].reshape(-1, step)
    loudness = np.sqrt(np.mean(blocks**2, axis=1))
    heard = np.flatnonzero(loudness >= loudness.max() * amplitude(AUDIBLE_DB))
    return slice(int(heard[0]) * step, int(heard[-1] + 1) * step)


def pink_noise(frames: int, rate_hz: int, rng: np.random.Generator) -> Samples:
    """A quiet room: power falls with 1/f, from 20 Hz up; of no particular level."""
    hz = np.fft.rfftfreq(frames, 1 / rate_hz)
    shape = np.where(hz >= LOWEST_HZ, 1 / np.sqrt(np.maximum(hz, LOWEST_HZ)), 0.0)
    noise: Samples = np.fft.irfft(np.fft.rfft(rng.standard_normal(frames)) * shape, frames)
    return noise


def telephone(samples: Samples, rate_hz: int) -> Samples:
    """The band of a telephone line, 300 to 3400 Hz: a windowed-sinc filter without delay."""
    times = np.arange(TAPS) - TAPS // 2
    low, high = (2 * hz / rate_hz for hz in TELEPHONE_HZ)
    taps = (high * np.sinc(high * times) - low * np.sinc(low * times)) * np.hamming(TAPS)
    return np.convolve(samples, taps, mode="same")
