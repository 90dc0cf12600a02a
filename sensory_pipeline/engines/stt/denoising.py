"""Steady noise turned down, for a recogniser that was trained without any.

What is heard where nobody speaks is taken for the noise, and each frequency is turned down by how
little it rises above that (Wiener filtering with the a-posteriori signal-to-noise ratio; Lim and
Oppenheim, 1979), by at most 10 dB: more does the recogniser more harm than the noise did.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sensory_pipeline.audio.pcm import SAMPLE_RATE
from sensory_pipeline.core.spans import Span

Samples = npt.NDArray[np.float32]
Spectrum = npt.NDArray[np.float32]

_FRAME = 512  # 32 ms
_HOP = 128
_WINDOW = np.hanning(_FRAME + 1)[:-1].astype(np.float32)
_OVERLAP = 1.5  # what squared windows, a hop apart, add up to
_FLOOR = np.float32(10 ** (-10 / 20))
_SMOOTHED = 5  # frames, 40 ms: a gain that jumps is heard as music
_LEAST_QUIET = 20  # frames; noise cannot be told from less
_LONGEST_QUIET = 60 * SAMPLE_RATE  # samples of one pause that are looked at


def noise_power(samples: Samples, speech: Sequence[Span]) -> Spectrum | None:
    """Mean power where nobody speaks, shape (257,); None where that is too short to tell.

    samples: 16 kHz mono; speech: in order of time, disjoint.
    """
    total, count = np.zeros(_FRAME // 2 + 1, np.float64), 0
    edges = [0, *(ms * SAMPLE_RATE // 1000 for span in speech for ms in (span.start_ms, span.end_ms)), len(samples)]
    for first, last in list(pairwise(edges))[::2]:
        pause = samples[first : min(last, first + _LONGEST_QUIET)]
        if len(pause) >= _FRAME:
            power = _power(_spectra(pause))
            total += power.sum(axis=0)
            count += len(power)
    return (total / count).astype(np.float32) if count >= _LEAST_QUIET else None


def denoised(samples: Samples, noise: Spectrum) -> Samples:
    """The same samples with the noise turned down; meant for an utterance, not for hours."""
    padded = np.pad(samples, (_FRAME, 2 * _FRAME))
    spectra = _spectra(padded)
    rise = np.maximum(_power(spectra) / (noise + np.float32(1e-12)) - 1, 0)
    sums = np.cumsum(np.pad(rise / (rise + 1), ((_SMOOTHED // 2 + 1, _SMOOTHED // 2), (0, 0))), axis=0)
    gain = np.maximum((sums[_SMOOTHED:] - sums[:-_SMOOTHED]) / _SMOOTHED, _FLOOR)
    frames = np.fft.irfft(spectra * gain, _FRAME, axis=1) * _WINDOW
    out = np.zeros(len(padded), np.float32)
    for index, frame in enumerate(frames):
        out[index * _HOP : index * _HOP + _FRAME] += frame
    return out[_FRAME : _FRAME + len(samples)] / np.float32(_OVERLAP)


def _spectra(samples: Samples) -> npt.NDArray[np.complex64]:
    frames = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP]
    spectra: npt.NDArray[np.complex64] = np.fft.rfft(frames * _WINDOW, axis=1).astype(np.complex64)
    return spectra


def _power(spectra: npt.NDArray[np.complex64]) -> Spectrum:
    power: Spectrum = np.abs(spectra) ** 2
    return power
