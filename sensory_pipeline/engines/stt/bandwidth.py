"""Telephone speech for a recogniser that grew up on wide-band speech.

What a telephone leaves out above 3 to 4 kHz is mostly the noise of consonants, and its level follows
that of the kilohertz below it. So the top of the band that is there is repeated upward, softer each
time (high-frequency regeneration by spectral translation: Makhoul and Berouti, 1979).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sensory_pipeline.audio.pcm import SAMPLE_RATE

Samples = npt.NDArray[np.float32]

_FFT = 512
_HOP = _FFT // 2
_HZ = np.fft.rfftfreq(_FFT, 1 / SAMPLE_RATE)
_WINDOW = np.sqrt(np.hanning(_FFT + 1)[:-1]).astype(np.float32)  # its square, at every hop, adds up to 1
_BODY = (_HZ >= 2000) & (_HZ < 3000)  # what levels are compared with
_ABSENT = (_HZ >= 4200) & (_HZ < 6800)  # what a telephone never carries
_ABSENT_DB = -40.0  # old wide-band recordings still have -31
_EDGE_DB = -15.0  # of the highest frequency that is there
_REPEATED = round(800 / SAMPLE_RATE * _FFT)  # bins
_SOFTER_DB = -3.0


def widened(samples: Samples) -> Samples:
    """The same speech up to 8 kHz where it is band-limited below 4 kHz; else what came in.

    samples: 16 kHz mono, shape (frames,); a stretch of speech.
    """
    padded = np.pad(samples, (_HOP, 2 * _FFT - len(samples) % _FFT))
    spectra = np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, _FFT)[::_HOP] * _WINDOW)
    power = np.square(np.abs(spectra)).mean(axis=0)
    body = power[_BODY].mean()
    if power[_ABSENT].mean() >= body * 10 ** (_ABSENT_DB / 10):
        return samples
    edge = int(np.flatnonzero(power > body * 10 ** (_EDGE_DB / 10))[-1]) + 1
    top = spectra[:, edge - _REPEATED : edge].copy()
    for repeat, start in enumerate(range(edge, len(_HZ), _REPEATED), start=1):
        end = min(start + _REPEATED, len(_HZ))
        spectra[:, start:end] = top[:, : end - start] * 10 ** (repeat * _SOFTER_DB / 20)
    frames = np.fft.irfft(spectra).astype(np.float32) * _WINDOW
    halves = frames.reshape(-1, 2, _HOP)
    joined = halves[1:, 0] + halves[:-1, 1]
    wide: Samples = joined.reshape(-1)[: len(samples)]
    return wide
