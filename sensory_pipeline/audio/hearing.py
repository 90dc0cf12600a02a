"""What is noticed while a recording is decoded: its damaged places, and what was done about its sound."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

_SHOWN_PLACES = 3
_OCTAVES = 33
_LOUD = 2
"""Octaves over full scale, 12 dB, that no mix of floating-point sound reaches."""
_JUNK_SHARE = 1e-4


@dataclass(slots=True, kw_only=True)
class Hearing:
    """Of one track. sample_rate (Hz) and channels: the source's own, at its beginning; heard_s: seconds
    that were decoded, without those that were filled with silence; lost_s: seconds that were not;
    lost_unknown: whether there are more of these, nobody knows how many; cancelled_s: seconds in which
    the channels cancel each other; places: that are damaged.
    """

    codec: str = ""
    sample_rate: int = 0
    channels: int = 0
    heard_s: float = 0.0
    lost_s: float = 0.0
    lost_unknown: bool = False
    cancelled_s: float = 0.0
    places: int = 0
    _told: list[str] = field(default_factory=list)
    _samples: int = 0
    _octaves: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(_OCTAVES, np.int64))

    def tell(self, what: str) -> None:
        """Note a damaged place."""
        self.places += 1
        if self.places <= _SHOWN_PLACES:
            self._told.append(what)

    @property
    def damage(self) -> str | None:
        """All that is damaged, in words; None when nothing is."""
        more = self.places - len(self._told)
        return "; ".join([*self._told, *([f"and {more} places more"] if more else [])]) or None

    def note_loudness(self, samples: npt.NDArray[np.floating]) -> None:
        """Count samples of a floating-point source, full scale 1, by the octaves they are over it."""
        self._samples += samples.size
        loud = np.abs(samples[np.abs(samples) > 1])
        if loud.size:
            self._octaves += np.bincount(np.minimum(np.frexp(loud)[1], _OCTAVES - 1), minlength=_OCTAVES)

    @property
    def octaves_over(self) -> int:
        """By how many octaves (6 dB) its numbers are of another scale: integers, say, that were not divided.

        Numbers too few for that are junk, or peaks of a mix, and clipped.
        """
        over = np.cumsum(self._octaves[::-1])[::-1]  # over[n]: louder than n - 1 octaves over full scale
        if over[_LOUD + 1] <= _JUNK_SHARE * self._samples:
            return 0
        return int(np.argmax(over <= _JUNK_SHARE * self._samples)) - 1
