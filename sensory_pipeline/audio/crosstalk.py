"""One voice on two channels: where a channel holds nothing but the sound of another.

In a recorded call each channel is one speaker, but lines leak: what is said on one is heard on the other, quieter, a
little later or through a filter. Such an echo is a linear copy of what it comes from. So over windows of 0.3 s the
power spectra and the cross spectrum of two channels tell how much of one can be computed from the other
(magnitude-squared coherence; Carter, 1987, Proceedings of the IEEE 75), whatever the filter and the sign, and with a
delay of up to some 10 ms. Of two people who talk at once next to nothing can.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.core.arrays import Floats, Mask
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.speech_regions import SpeechRegions

COPIED = 0.8
"""Of the power in a window that much has to be computable from the other channel: what is left is 7 dB weaker."""
LOUDER_DB = 6.0
"""By so much the voice is louder than its echo."""
LEAKING = 0.05
"""Of the windows in which one channel is heard and is that much louder, so many have to be copied: chance makes a few
in a thousand."""
SAME = 0.95
"""Of the windows in which something is heard, so many have to be copied, and about as loud, in channels that are the
same: what a codec does to quiet sound is forgiven,"""
OTHER_MS = 500
"""but where they differ for longer, somebody may say a word on one of them alone."""
ALIKE_DB = 9.0
"""More than LOUDER_DB, so that a copy which is weaker by about that much is one or the other all the time."""

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
    """echoes: of each channel the spans in which it holds nothing but another's sound, in order of time and disjoint.

    copies: channels that are the same sound as one before them all the time, and that one.
    """

    echoes: tuple[tuple[Span, ...], ...]
    copies: dict[int, int]

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was found, in words. Echoes of less than a second are not worth any."""
        lengths = [sum(span.duration_ms for span in spans) / 1000 for spans in self.echoes]
        return tuple(
            f"channel {channel} is the same sound as channel {self.copies[channel]} and was silenced"
            if channel in self.copies
            else f"channel {channel} was silenced for {length_s:.0f} s in which it was an echo of another"
            for channel, length_s in enumerate(lengths)
            if length_s >= 1
        )


def find_crosstalk(pcm: Waveform) -> Crosstalk:
    """Each channel against each other. Takes a second of a core for an hour of two channels."""
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
    """Takes the echoes out of the samples, which have to be writable: hours of sound are not copied."""
    for samples, spans in zip(pcm.samples, crosstalk.echoes, strict=True):
        for span in spans:
            echo = samples[span.start_ms * SAMPLE_RATE // 1000 : span.end_ms * SAMPLE_RATE // 1000]
            gain = np.linspace(1, 0, min(_FADE, len(echo) // 2), dtype=np.float32)
            start, end = slice(0, len(gain)), slice(len(echo) - len(gain), None)
            echo[start.stop : end.start] = 0
            echo[start] = echo[start] * gain
            echo[end] = echo[end] * gain[::-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """Of two channels, window by window. levels_db: shape (2, windows); copied: whether the quieter one can be computed
    from the other."""

    levels_db: Floats
    copied: Mask

    @property
    def same(self) -> bool:
        """Whether both are one sound all the time."""
        heard = _heard(self.levels_db.max(axis=0))
        other = heard & ~(self.copied & (np.abs(self.levels_db[0] - self.levels_db[1]) < ALIKE_DB))
        longest_ms = max((last - first for first, last in _runs(other)), default=0) * _HOP_MS
        many = np.count_nonzero(other) > (1 - SAME) * np.count_nonzero(heard)
        return bool(heard.any() and not many) and longest_ms < OTHER_MS

    def echoes(self, of: int) -> Mask:
        """Windows in which one of the two is nothing but an echo of the other. of: 0 or 1, whose voice it is."""
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
    """Of the frames of so many windows, stretch by stretch: shape (frames, frequencies)."""
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
    """Sums over the frames of each window. Of pairs, then pairs of pairs: differences of running sums would be
    nothing but rounding where loud sound ends."""
    width = 1
    while width < _FRAMES:
        frames = frames[:-width] + frames[width:]
        width *= 2
    return frames


def _power(spectra: npt.NDArray[np.complex64]) -> Floats:
    power: Floats = spectra.real**2 + spectra.imag**2
    return power


def _heard(levels_db: Floats) -> Mask:
    """Windows as loud as speech is where the channel is at its loudest; none where there is no sound."""
    loudest_db = np.percentile(levels_db, 95) if levels_db.size else 0.0
    heard: Mask = levels_db > max(loudest_db - _HEARD_DB, _SILENT_DB)
    return heard


def _spans(windows: Mask, within: Span) -> Iterator[Span]:
    """Where most of the windows around a moment are such, so that next to a voice of its own little is taken away."""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(windows, (_AROUND - 1, 0), mode="edge"), _AROUND)
    moments = np.count_nonzero(around, axis=1) > _AROUND / 2
    for first, last in _runs(moments):
        yield Span(start_ms=first * _HOP_MS, end_ms=last * _HOP_MS).clip(within)


def _runs(mask: Mask) -> list[tuple[int, int]]:
    """Half-open ranges where it holds."""
    edges = np.flatnonzero(np.diff(np.pad(mask.astype(np.int8), 1)))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]
