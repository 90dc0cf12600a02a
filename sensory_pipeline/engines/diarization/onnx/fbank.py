"""Mel energies as Kaldi computes them (https://kaldi-asr.org/doc/feat.html), which CAM++ was trained on.

Frames of 25 ms every 10 ms, each without its mean, with pre-emphasis and Povey's window; no dither. Constants are the
defaults of Kaldi's `compute-fbank-feats`, with 80 bands.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sensory_pipeline.audio.waveform import SAMPLE_RATE
from sensory_pipeline.core.arrays import Doubles, Floats

FRAME, HOP = 400, 160
"""Samples of a frame, and from one frame to the next."""
_FFT = 512
_BANDS = 80
_LOWEST_HZ = 20
_PRE_EMPHASIS = 0.97
_POVEY = np.hanning(FRAME).astype(np.float32) ** np.float32(0.85)
_FLOOR = np.finfo(np.float32).eps  # under the logarithm


def fbank(samples: Floats) -> Floats:
    """Logarithms of the energies, shape (frames, 80). A frame that would reach beyond the end is left out.

    Args:
        samples: 16 kHz mono in [-1, 1), at least one frame.
    """
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::HOP]
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    spectra = np.fft.rfft((frames - _PRE_EMPHASIS * before) * _POVEY, _FFT, axis=1)
    energies = (spectra.real**2 + spectra.imag**2).astype(np.float32) @ _FILTERS
    logarithms: Floats = np.log(np.maximum(energies, _FLOOR))
    return logarithms


def _mel_filters() -> Floats:
    """Triangles of equal width on the mel scale, up to half the sampling rate, shape (frequencies, bands)."""
    nyquist = SAMPLE_RATE / 2
    edges = np.linspace(_mel(_LOWEST_HZ), _mel(nyquist), _BANDS + 2)
    mels = _mel(np.fft.rfftfreq(_FFT, 1 / SAMPLE_RATE))[:, None]
    rising = (mels - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mels) / (edges[2:] - edges[1:-1])
    filters: Floats = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    return filters


def _mel(hz: npt.ArrayLike) -> Doubles:
    mels: Doubles = 1127 * np.log1p(np.asarray(hz) / 700)
    return mels


_FILTERS = _mel_filters()
