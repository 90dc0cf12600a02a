"""Pitch, loudness and spectral tilt of a voice, 100 times a second, in one pass over the spectrum.

Pitch is the lag at which a frame is most similar to itself: its autocorrelation divided by that of the
analysis window (P. Boersma, "Accurate short-term analysis of the fundamental frequency and the
harmonics-to-noise ratio of a sampled sound", IFA Proceedings 17, 1993), over the band of the first
harmonics, where formants interfere least (L. R. Rabiner, "On the use of autocorrelation analysis for
pitch detection", IEEE Trans. ASSP 25, 1977). Instead of Boersma's path search, a median over five
frames removes errors of one or two frames: octave jumps, and pitch found in noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.core.arrays import Floats
from sensory_pipeline.core.spans import Span

FRAME_MS = 10
FLOOR_HZ, CEILING_HZ = 65.0, 500.0

_BATCH = 256  # frames held at once: a few MB, which stay in the processor's cache
_WINDOW_MS = 48  # three periods of the lowest pitch; with its longest lag they just fit the transform
_HOP = FRAME_MS * SAMPLE_RATE // 1000
_FFT = 1024
_HZ = np.fft.rfftfreq(_FFT, 1 / SAMPLE_RATE)
_LOW, _HIGH = (_HZ >= 50) & (_HZ < 1000), (_HZ >= 1000) & (_HZ < 4000)
_HANN = np.hanning(_WINDOW_MS * SAMPLE_RATE // 1000).astype(np.float32)
_MEAN_SQUARE = np.float32(2 / (_FFT * (_HANN**2).sum()))

# Pitch band: smooth at its edges, where a sharp one would cut a harmonic in two. Nothing is left of it
# above 1.4 kHz, so half the sample rate serves for the lags.
_LAG_RATE = SAMPLE_RATE // 2
_PITCH_BAND = np.interp(_HZ[: _FFT // 4 + 1], [25, 65, 600, 1400], [0, 1, 1, 0]).astype(np.float32)
_LAGS = np.arange(int(_LAG_RATE / CEILING_HZ), int(_LAG_RATE / FLOOR_HZ) + 2)
_HANN_CORRELATION = np.fft.irfft(np.abs(np.fft.rfft(_HANN, _FFT)) ** 2)[: 2 * _LAGS[-1] + 3 : 2]
_HANN_CORRELATION = (_HANN_CORRELATION / _HANN_CORRELATION[0]).astype(np.float32)

# Of a period and its multiples, prefer the shortest: 0.05 an octave.
_COST = (0.05 * np.log2(_LAGS / _LAGS[0])).astype(np.float32)
_PERIODIC = 0.55  # threshold of voicing; above Boersma's 0.45, for rooms with a noise floor
_QUIET_DB = -25.0  # low band, against the loud frames of the recording
_SILENT_DB = -80.0  # low band, against full scale


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VoiceTrack:
    """One value for each frame of `FRAME_MS`, shape (frames,); the centre of frame i is (i + 1/2) FRAME_MS.

    Attributes:
        f0_hz: Pitch; 0 if there is no voice.
        level_db: Mean square below 4 kHz relative to full scale.
        tilt_db: Power from 1 to 4 kHz relative to that below 1 kHz; higher in a pressed or shouting voice.
    """

    f0_hz: Floats
    level_db: Floats
    tilt_db: Floats


def frame_at(ms: int) -> int:
    """The first frame with its centre at `ms` or later."""
    return (ms + FRAME_MS // 2 - 1) // FRAME_MS


def track(pcm: Waveform) -> VoiceTrack:
    """The voice in a whole recording, the channels mixed down; no frames if there are no samples.

    Takes about 70 bytes for each frame besides the samples: 25 MB for an hour.
    """
    frames = frame_at(pcm.duration_ms)
    f0, periodicity, low, high = np.zeros((4, frames), np.float32)
    for first in range(0, frames, _BATCH):
        batch = slice(first, min(first + _BATCH, frames))
        power = _power(pcm, batch.start, batch.stop)
        f0[batch], periodicity[batch] = _pitch(power)
        low[batch], high[batch] = power[:, _LOW].sum(axis=1), power[:, _HIGH].sum(axis=1)
    low_db = _decibels(low)
    if frames:
        loud_db = float(np.percentile(low_db, 95))
        f0[(periodicity < _PERIODIC) | (low_db < max(_SILENT_DB, loud_db + _QUIET_DB))] = 0
        around = np.lib.stride_tricks.sliding_window_view(np.pad(f0, 2), 5)
        f0 = np.where(f0 > 0, np.median(around, axis=1), np.float32(0))
    return VoiceTrack(f0_hz=f0, level_db=_decibels(low + high), tilt_db=_decibels(high) - low_db)


def _power(pcm: Waveform, first: int, last: int) -> Floats:
    """Power spectra of frames [first, last), shape (last - first, bins); silence beyond both ends.

    Scaled so that the bins of a frame sum to its mean square.
    """
    start_ms = first * FRAME_MS + (FRAME_MS - _WINDOW_MS) // 2
    end_ms = start_ms + (last - first - 1) * FRAME_MS + _WINDOW_MS
    heard = pcm.cut(Span(start_ms=max(start_ms, 0), end_ms=end_ms)).mono()
    lead = max(-start_ms, 0) * SAMPLE_RATE // 1000
    samples = np.zeros((end_ms - start_ms) * SAMPLE_RATE // 1000, np.float32)
    samples[lead : lead + len(heard)] = heard
    frames = np.lib.stride_tricks.sliding_window_view(samples, len(_HANN))[::_HOP]
    spectra = np.fft.rfft(frames * _HANN, _FFT, axis=1)
    return (_MEAN_SQUARE * (spectra.real**2 + spectra.imag**2)).astype(np.float32, copy=False)


def _decibels(power: Floats) -> Floats:
    decibels: Floats = 10 * np.log10(power + np.float32(1e-10))
    return decibels


def _pitch(power: Floats) -> tuple[Floats, Floats]:
    """Pitch in Hz, and how periodic each frame is at it: 1 if entirely, 0 if the pitch means nothing."""
    band = power[:, : len(_PITCH_BAND)] * _PITCH_BAND
    lagged = np.fft.irfft(band, _FFT // 2, axis=1)[:, : _LAGS[-1] + 2]
    correlation = lagged / ((lagged[:, :1] + np.float32(1e-20)) * _HANN_CORRELATION)
    before, here, after = (correlation[:, _LAGS + step] for step in (-1, 0, 1))
    peak = (here > before) & (here >= after)
    # The summit of the parabola through the three, so that a multiple nearer to a sample does not win.
    curve = np.where(peak, (before - here) + (after - here), np.float32(-1))
    shift = (before - after) / (2 * curve)
    summit = np.where(peak, here - (before - after) * shift / 4, np.float32(0))
    best = (summit - _COST).argmax(axis=1)
    rows = np.arange(len(best))
    f0 = _LAG_RATE / (_LAGS[best] + shift[rows, best])
    return f0.astype(np.float32), summit[rows, best]
