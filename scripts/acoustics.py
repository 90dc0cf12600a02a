"""Sound arithmetic: levels, noise, and the effect of a telephone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64]

AUDIBLE_DB = -35.0
"""Level below the loudest 10 ms; softer beginnings and ends count as silence."""
LOWEST_HZ = 20.0
"""Lowest frequency of audible noise."""
TELEPHONE_HZ = (300.0, 3400.0)
TAPS = 511
"""Length of the telephone filter."""


def amplitude(decibels: float) -> float:
    """Return the factor that changes a level by this many dB."""
    return float(10 ** (decibels / 20))


def rms(samples: Samples) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(samples**2)))


def audible(samples: Samples, rate_hz: int) -> slice:
    """Return the part from the first to the last audible 10 ms, relative to the loudest."""
    step = rate_hz // 100
    blocks = samples[: len(samples) // step * step].reshape(-1, step)
    loudness = np.sqrt(np.mean(blocks**2, axis=1))
    heard = np.flatnonzero(loudness >= loudness.max() * amplitude(AUDIBLE_DB))
    return slice(int(heard[0]) * step, int(heard[-1] + 1) * step)


def pink_noise(frames: int, rate_hz: int, rng: np.random.Generator) -> Samples:
    """Return the noise of a quiet room: power falls with 1/f above 20 Hz; its level is arbitrary."""
    hz = np.fft.rfftfreq(frames, 1 / rate_hz)
    shape = np.where(hz >= LOWEST_HZ, 1 / np.sqrt(np.maximum(hz, LOWEST_HZ)), 0.0)
    noise: Samples = np.fft.irfft(np.fft.rfft(rng.standard_normal(frames)) * shape, frames)
    return noise


def telephone(samples: Samples, rate_hz: int) -> Samples:
    """Limit samples to the band of a telephone line, 300 to 3400 Hz, with a windowed-sinc filter without delay."""
    times = np.arange(TAPS) - TAPS // 2
    low, high = (2 * hz / rate_hz for hz in TELEPHONE_HZ)
    taps = (high * np.sinc(high * times) - low * np.sinc(low * times)) * np.hamming(TAPS)
    return np.convolve(samples, taps, mode="same")
