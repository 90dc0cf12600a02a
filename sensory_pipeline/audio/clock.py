"""Sound on its file's own clock: where a player has silence before it or in between, there is silence.

Times that a container writes are rounded, to a millisecond in Matroska, and jitter where they were
taken from a machine's clock; samples follow each other regardless, until they are wrong by more than
can be that. So they are right within that tolerance at any time, however long the recording.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sensory_pipeline.audio.decoding_report import DecodingReport
from sensory_pipeline.core.arrays import Array

_TOLERANCE_S = 0.04
_TOLERANCE_AT_DAMAGE_S = 0.005
LONGEST_GAP_S = 3600.0
"""What jumps further ahead is on another clock, such as that of a live stream of which this is a piece."""
_LONGEST_OVERLAP_S = 1.0
"""What jumps further back has begun to count anew."""
_SILENCE_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """samples: of shape (frames, channels), as decoded; rate: Hz; name: FFmpeg's of their type."""

    samples: Array
    rate: int
    name: str

    @property
    def shape(self) -> tuple[int, int, str]:
        return self.rate, self.samples.shape[1], self.name


class Clock:
    """One for a recording; each of the parts it was joined from begins where the one before it ended."""

    def __init__(self, report: DecodingReport) -> None:
        self.now_s = 0.0
        self._report = report
        self._shift_s: float | None = 0.0
        self._owed_s = 0.0
        self._is_damaged = False
        self.has_jumped = False
        """Whether the part's times began anew, so that their last is not its length."""

    def next_part(self) -> None:
        """What comes now is on another clock."""
        self._shift_s = None if self.now_s else 0.0
        self._owed_s, self._is_damaged, self.has_jumped = 0.0, False, False

    def lose(self, seconds: float | None = None) -> bool:
        """Sound is missing here: so much, where no timestamps tell. Returns whether the place is a new one."""
        is_new = not self._is_damaged
        self._owed_s += seconds or 0.0
        self._is_damaged = True
        return is_new

    @property
    def owed_s(self) -> float:
        """What was lost since the last sound."""
        return self._owed_s

    @property
    def is_damaged(self) -> bool:
        """Whether anything was."""
        return self._is_damaged

    def place(self, piece: Piece, at_s: float | None, *, is_numbered: bool = False) -> Iterator[Piece]:
        """The piece, after silence if there is to be some, or less of it where it overlaps what was before.

        at_s: when it begins, None where the container does not say; is_numbered: whether a gap in that can
        only be a loss.
        """
        ahead_s = self._ahead_s(at_s)
        is_lost = self._is_damaged or is_numbered
        if ahead_s > (_TOLERANCE_AT_DAMAGE_S if is_lost else _TOLERANCE_S):
            if is_numbered and not self._is_damaged:
                self._report.note_damage(f"damaged at {self.now_s:.1f} s: frames are missing")
            if is_lost:
                self._report.lost_s += ahead_s
            yield from self._silence(piece, ahead_s)
        elif ahead_s < -_TOLERANCE_S:
            kept = piece.samples[round(-ahead_s * piece.rate) :]
            self._report.overlap_s += (len(piece.samples) - len(kept)) / piece.rate
            piece = Piece(samples=kept, rate=piece.rate, name=piece.name)
        self._owed_s, self._is_damaged = 0.0, False
        seconds = len(piece.samples) / piece.rate
        self.now_s += seconds
        self._report.decoded_s += seconds
        yield piece

    def _ahead_s(self, at_s: float | None) -> float:
        """How long after the sound so far it begins."""
        if at_s is None:
            return self._owed_s
        if self._shift_s is None:
            self._shift_s = self.now_s - at_s
        ahead_s = at_s + self._shift_s - self.now_s
        if not -_LONGEST_OVERLAP_S <= ahead_s <= LONGEST_GAP_S:
            self._shift_s -= ahead_s
            self.has_jumped = True
            return 0.0
        return ahead_s

    def _silence(self, like: Piece, seconds: float) -> Iterator[Piece]:
        left = round(seconds * like.rate)
        self.now_s += left / like.rate
        while left > 0:
            count = min(left, _SILENCE_S * like.rate)
            nothing = np.full_like(
                like.samples, 128 if like.samples.dtype == np.uint8 else 0, shape=(count, like.samples.shape[1])
            )
            yield Piece(samples=nothing, rate=like.rate, name=like.name)
            left -= count
