"""What is noticed while a recording is decoded: damaged places, and decisions about its sound."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

_SHOWN_PLACES = 3
_LOUD = 2
"""Octaves over full scale (12 dB) that no mix of floating-point sound reaches."""
_QUIET = 2.0**-6  # full scale is 1


@dataclass(slots=True, kw_only=True)
class DecodingReport:
    """What was noticed in one track.

    Attributes:
        codec: FFmpeg's name of it.
        sample_rate: Of the source at its beginning, in Hz.
        channels: Of the source at its beginning.
        decoded_s: Seconds that were decoded, without those filled with silence.
        lost_s: Seconds that were not.
        lost_unknown: Whether further sound is lost, of unknown length.
        cancelled_s: Seconds in which the channels cancel each other.
        overlap_s: Seconds that were left out because they overlap other sound.
        places: Number of damaged places.
    """

    codec: str = ""
    sample_rate: int = 0
    channels: int = 0
    decoded_s: float = 0.0
    lost_s: float = 0.0
    lost_unknown: bool = False
    cancelled_s: float = 0.0
    overlap_s: float = 0.0
    places: int = 0
    _told: list[str] = field(default_factory=list)
    _octaves: list[int] = field(default_factory=list)

    def note_damage(self, what: str) -> None:
        """Note a damaged place."""
        self.places += 1
        if self.places <= _SHOWN_PLACES:
            self._told.append(what)

    @property
    def damage(self) -> str | None:
        """All damage, in words; None if there is none."""
        more = self.places - len(self._told)
        return "; ".join([*self._told, *([f"and {more} places more"] if more else [])]) or None

    def note_loudness(self, samples: npt.NDArray[np.floating[Any]]) -> None:
        """Note how loud a second of a floating-point source is; full scale is 1."""
        peaks = np.abs(samples).max(axis=1)
        loud = float(np.partition(peaks, place := int(0.99 * (len(peaks) - 1)))[place])
        if loud > _QUIET:
            self._octaves.append(math.ceil(math.log2(loud)))

    @property
    def octaves_over(self) -> int:
        """By how many octaves (6 dB) the samples exceed full scale, as integers do that were not divided.

        Most seconds must agree, so that invalid values do not count. One octave of room is left for the loudest
        hundredth of the samples of a second.
        """
        octaves = sorted(self._octaves)
        most = octaves[int(0.9 * (len(octaves) - 1))] if octaves else 0
        return most + 1 if most > _LOUD else 0
