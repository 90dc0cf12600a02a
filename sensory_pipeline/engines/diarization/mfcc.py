"""Mel-frequency cepstral coefficients (Davis and Mermelstein, 1980): the shape of the voice's spectrum."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sensory_pipeline.audio.pcm import SAMPLE_RATE
from sensory_pipeline.engines.vad import normalisation

Cepstra = npt.NDArray[np.float32]

COEFFICIENTS = 12
HOP_MS = 10

_HOP = HOP_MS * SAMPLE_RATE // 1000
_WINDOW = 400  # samples, 25 ms
_FFT = 512
_BANDS = 40
_FLOOR = 3e-6  # 60 dB below the spectrum of loud speech: hides what digital silence and codecs differ in
_BLOCK = 8192  # frames worked on at a time


def mfcc(samples: npt.NDArray[np.float32]) -> tuple[Cepstra, npt.NDArray[np.float32]]:
    """Cepstra 1 to 12, shape (frames, 12), and energy in dB, shape (frames,); a frame every 10 ms.

    samples: 16 kHz mono. Frame i is centred on 10 i + 5 ms. Cepstrum 0, the level, is left out.
    """
    offset, gain = normalisation(samples)
    frames = len(samples) // _HOP
    cepstra = np.empty((frames, COEFFICIENTS), np.float32)
    energy = np.empty(frames, np.float32)
    margin = (_WINDOW - _HOP) // 2
    window = np.hanning(_WINDOW).astype(np.float32)
    for first in range(0, frames, _BLOCK):
        last = min(first + _BLOCK, frames)
        start, end = first * _HOP - margin, last * _HOP + margin
        inside = (samples[max(start, 0) : end] - offset) * gain
        block = np.pad(inside, (max(-start, 0), max(end - len(samples), 0)))
        windows = np.lib.stride_tricks.sliding_window_view(block, _WINDOW)[::_HOP] * window
        power = np.abs(np.fft.rfft(windows, _FFT, axis=1)) ** 2
        cepstra[first:last] = np.log(power @ _FILTERS + _FLOOR) @ _COSINES
        energy[first:last] = 10 * np.log10(power.mean(axis=1) + _FLOOR)
    return cepstra, energy


def _mel_filters() -> npt.NDArray[np.float32]:
    """Triangles of equal width on the mel scale from 0 to 8 kHz, each with unit sum."""
    edges = 700 * (np.exp(np.linspace(0, np.log1p(SAMPLE_RATE / 2 / 700), _BANDS + 2)) - 1)
    hz = np.fft.rfftfreq(_FFT, 1 / SAMPLE_RATE)[:, None]
    rising = (hz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hz) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0, np.minimum(rising, falling))
    filters: npt.NDArray[np.float32] = (triangles / triangles.sum(axis=0)).astype(np.float32)
    return filters


def _cosines() -> npt.NDArray[np.float32]:
    orders = np.arange(1, COEFFICIENTS + 1)
    return np.cos(np.pi * (np.arange(_BANDS)[:, None] + 0.5) * orders / _BANDS).astype(np.float32)


_FILTERS = _mel_filters()
_COSINES = _cosines()
