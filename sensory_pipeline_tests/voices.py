"""Sound made like a voice's: pulses through resonances, and noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sensory_pipeline.audio.waveform import SAMPLE_RATE

Doubles = npt.NDArray[np.float64]


def pulses(f0_hz: Doubles) -> Doubles:
    """A pulse train whose pitch follows the curve, one value a sample; 1 on average a pulse.

    A pulse between two samples is shared by them, so that periods are not rounded.
    """
    phase = np.cumsum(f0_hz / SAMPLE_RATE)
    after = np.flatnonzero(np.diff(np.floor(phase))) + 1
    late = (phase[after] % 1) / (f0_hz[after] / SAMPLE_RATE)
    train = np.zeros(len(f0_hz))
    train[after] += 1 - late
    train[after - 1] += late
    return train


def resonate(source: Doubles, centre_hz: float, bandwidth_hz: float) -> Doubles:
    """The source through a second-order resonance of unit gain at its peak."""
    hz = np.fft.rfftfreq(len(source), 1 / SAMPLE_RATE)
    response = bandwidth_hz * hz / (centre_hz**2 - hz**2 + 1j * bandwidth_hz * hz)
    return np.fft.irfft(np.fft.rfft(source) * response, len(source))


def noise(length: int, seed: int = 0) -> Doubles:
    return np.random.default_rng(seed).standard_normal(length)
