"""One voice on two channels: where a channel holds nothing but the sound of another.

In a recorded call each channel is one speaker, but lines leak: what is said on one channel can be heard on the other,
quieter, a little later or filtered. Such an echo is a linear copy of its source. So over windows of 0.3 s, the power
spectra and the cross spectrum of two channels show how much of one can be computed from the other (magnitude-squared
coherence; Carter, 1987, Proceedings of the IEEE 75), whatever the filter and the sign, and with a delay of up to about
10 ms. If two people talk at once, almost nothing of one can be computed from the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform, frames_of
from sensory_pipeline.core.arrays import Floats, Mask, runs
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.speech_regions import SpeechRegions

COPIED = 0.8
"""Share of the power in a window that must be computable from the other channel: the rest is 7 dB weaker."""
LOUDER_DB = 6.0
"""By how much at least a voice is louder than its echo."""
LEAKING = 0.05
"""Share that must be copied of the windows in which one channel is audible and that much louder. By chance it is a few
in a thousand."""
SAME = 0.95
"""Share that must be copied, and about as loud, of the audible windows of two channels that are the same. The rest
allows for what a codec does to quiet sound."""
OTHER_MS = 500
"""Channels that differ for longer are not the same: somebody may say a word on one of them only."""
ALIKE_DB = 9.0
"""About as loud. More than LOUDER_DB, so that a weaker copy always counts as an echo or as the same."""

_RATE = SAMPLE_RATE // 2  # what a telephone carries is below 4 kHz
_FRAME = 512  # samples, 64 ms: longer than the delay of a line within a building, or of sound within a room
_HOP = _FRAME // 2
_HOP_MS = _HOP * 1000 // _RATE
_FRAMES = 8  # of a window
_AROUND = _FRAMES + 1  # windows that hold the moment between two hops
_BAND = slice(300 * _FRAME // _RATE, 3400 * _FRAME // _RATE + 1)  # without the hum of mains
_STRETCH = 1024  # windows at a time, 33 s
_HEARD_DB = 30.0  # below the loud passages
_FADE = SAMPLE_RATE // 200  # samples at the edges of silence, 5 ms, so that it does not click

_LEAST = np.float32(1e-3)  # power, so that nothing is divided by 0
_SILENT_DB = 10.0  # no sound at all; what rounding leaves of some is about 50

_Number = TypeVar("_Number", np.float32, np.complex64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crosstalk:
    """The leakage between the channels of a recording.

    Attributes:
        echoes: For each channel, the spans in which it holds nothing but another's sound; in order of time, disjoint.
        copies: Channels that are the same sound as an earlier one all the time, and that earlier one.
    """

    echoes: tuple[tuple[Span, ...], ...]
    copies: dict[int, int]

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was found, in words. Echoes of less than a second are left out."""
        lengths = [sum(span.duration_ms for span in spans) / 1000 for spans in self.echoes]
        return tuple(
            f"channel {channel} is the same sound as channel {self.copies[channel]} and was silenced"
            if channel in self.copies
            else f"channel {channel} was silenced for {length_s:.0f} s in which it was an echo of another"
            for channel, length_s in enumerate(lengths)
            if length_s >= 1
        )


def find_crosstalk(pcm: Waveform) -> Crosstalk:
    """Compare each pair of channels. An hour of two channels takes one second on one core."""
    spans: list[list[Span]] = [[] for _ in range(pcm.channels)]
    copies: dict[int, int] = {}
    for one, other in combinations(range(pcm.channels), 2):
        found = _compared(pcm, one, other)
        if found.same:
            copies.setdefault(other, one)
            spans[other].append(pcm.span)
        else:
            spans[other] += _spans(found.echoes(of=0), pcm.span)
            spans[one] += _spans(found.echoes(of=1), pcm.span)
    return Crosstalk(echoes=tuple(tuple(SpeechRegions(each)) for each in spans), copies=copies)


def silence(pcm: Waveform, crosstalk: Crosstalk) -> None:
    """Silence the echoes, in place, since hours of sound are not copied; the samples must be writable."""
    for samples, spans in zip(pcm.samples, crosstalk.echoes, strict=True):
        for span in spans:
            echo = samples[frames_of(span)]
            gain = np.linspace(1, 0, min(_FADE, len(echo) // 2), dtype=np.float32)
            start, end = slice(0, len(gain)), slice(len(echo) - len(gain), None)
            echo[start.stop : end.start] = 0
            echo[start] = echo[start] * gain
            echo[end] = echo[end] * gain[::-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """Two channels compared window by window.

    Attributes:
        levels_db: Shape (2, windows).
        copied: Whether the quieter channel can be computed from the other, shape (windows,).
    """

    levels_db: Floats
    copied: Mask

    @property
    def same(self) -> bool:
        """Whether both channels are the same sound all the time."""
        heard = _heard(self.levels_db.max(axis=0))
        other = heard & ~(self.copied & (np.abs(self.levels_db[0] - self.levels_db[1]) < ALIKE_DB))
        longest_ms = max((last - first for first, last in runs(other)), default=0) * _HOP_MS
        many = np.count_nonzero(other) > (1 - SAME) * np.count_nonzero(heard)
        return bool(heard.any() and not many) and longest_ms < OTHER_MS

    def echoes(self, of: int) -> Mask:
        """Windows in which the other channel is nothing but an echo of channel `of`, 0 or 1."""
        louder = self.levels_db[of] - self.levels_db[1 - of] >= LOUDER_DB
        heard = louder & _heard(self.levels_db[of])
        leaking = np.count_nonzero(heard & self.copied) > LEAKING * np.count_nonzero(heard)
        echoes: Mask = louder & self.copied & leaking
        return echoes


def _compared(pcm: Waveform, one: int, other: int) -> _Comparison:
    levels_db, copied = [], []
    for a, b in zip(_spectra(pcm.samples[one]), _spectra(pcm.samples[other]), strict=True):
        power_a, power_b, common = _windows(_power(a)), _windows(_power(b)), _power(_windows(a * b.conj()))
        whole_a, whole_b = power_a.sum(axis=1) + _LEAST, power_b.sum(axis=1) + _LEAST
        share_a = (common / (power_b + _LEAST)).sum(axis=1) / whole_a
        share_b = (common / (power_a + _LEAST)).sum(axis=1) / whole_b
        levels_db.append(10 * np.log10([whole_a, whole_b]))
        copied.append(np.where(whole_a < whole_b, share_a, share_b) >= COPIED)
    return _Comparison(levels_db=np.concatenate(levels_db, axis=1), copied=np.concatenate(copied))


def _spectra(samples: npt.NDArray[np.int16]) -> Iterator[npt.NDArray[np.complex64]]:
    """Spectra of the frames of up to _STRETCH windows at a time, shape (frames, frequencies)."""
    windows = -(-samples.size // (2 * _HOP))
    shape = np.hanning(_FRAME).astype(np.float32)
    for first in range(0, windows, _STRETCH):
        frames = min(_STRETCH, windows - first) + _FRAMES - 1
        length = _FRAME + (frames - 1) * _HOP
        piece = samples[2 * first * _HOP : 2 * (first * _HOP + length)].astype(np.float32)
        halved = np.pad(piece, (0, 2 * length - piece.size)).reshape(-1, 2).mean(axis=1)
        shaped = np.lib.stride_tricks.sliding_window_view(halved, _FRAME)[::_HOP] * shape
        yield np.fft.rfft(shaped, axis=1)[:, _BAND].astype(np.complex64, copy=False)


def _windows(frames: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
    """The sum over the frames of each window.

    It is a sum of pairs, then of pairs of pairs: where loud sound ends, differences of running sums would consist of
    rounding errors only.
    """
    width = 1
    while width < _FRAMES:
        frames = frames[:-width] + frames[width:]
        width *= 2
    return frames


def _power(spectra: npt.NDArray[np.complex64]) -> Floats:
    power: Floats = spectra.real**2 + spectra.imag**2
    return power


def _heard(levels_db: Floats) -> Mask:
    """Windows as loud as speech is in this channel; none if there is no sound."""
    loudest_db = np.percentile(levels_db, 95) if levels_db.size else 0.0
    heard: Mask = levels_db > max(loudest_db - _HEARD_DB, _SILENT_DB)
    return heard


def _spans(windows: Mask, within: Span) -> Iterator[Span]:
    """Where the mask holds for most of the windows around a moment, so that little next to a voice is taken away."""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(windows, (_AROUND - 1, 0), mode="edge"), _AROUND)
    moments = np.count_nonzero(around, axis=1) > _AROUND / 2
    for first, last in runs(moments):
        yield Span(start_ms=first * _HOP_MS, end_ms=last * _HOP_MS).clip(within)
