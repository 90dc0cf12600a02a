"""Places sound on its file's own clock: where a player plays silence, before the sound or in between, there is silence.

Times that a container writes are rounded, to a millisecond in Matroska, and they jitter if they were taken from
a machine's clock. So samples are appended directly, unless a time differs from the expected one by more than rounding
and jitter. Sound is thus within the tolerance of its time at any point, however long the recording.
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
"""A longer jump ahead means another clock, such as that of a live stream from which this was cut."""
_LONGEST_OVERLAP_S = 1.0
"""A longer jump back means that times started again."""
_SILENCE_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some decoded sound.

    Attributes:
        samples: Shape (frames, channels), as decoded.
        rate: Hz.
        name: FFmpeg's name of the sample type.
    """

    samples: Array
    rate: int
    name: str

    @property
    def shape(self) -> tuple[int, int, str]:
        return self.rate, self.samples.shape[1], self.name


class Clock:
    """The clock of one recording. Each of the parts it was joined from begins where the one before it ended.

    Attributes:
        now_s: Where the sound so far ends, in seconds.
        has_jumped: Whether the times of the part started again, so that its last time is not its length.
    """

    def __init__(self, report: DecodingReport) -> None:
        self.now_s = 0.0
        self._report = report
        self._shift_s: float | None = 0.0
        self._owed_s = 0.0
        self._is_damaged = False
        self.has_jumped = False

    def next_part(self) -> None:
        """What follows has times of another clock."""
        self._shift_s = None if self.now_s else 0.0
        self._owed_s, self._is_damaged, self.has_jumped = 0.0, False, False

    def lose(self, seconds: float | None = None) -> bool:
        """Note that sound is missing here.

        Args:
            seconds: How much; counts only if there are no timestamps.

        Returns:
            Whether this is a new damaged place.
        """
        is_new = not self._is_damaged
        self._owed_s += seconds or 0.0
        self._is_damaged = True
        return is_new

    @property
    def owed_s(self) -> float:
        """Seconds lost since the last sound."""
        return self._owed_s

    @property
    def is_damaged(self) -> bool:
        """Whether sound was lost since the last sound."""
        return self._is_damaged

    def place(self, piece: Piece, at_s: float | None, *, is_numbered: bool = False) -> Iterator[Piece]:
        """The piece at its time: after silence if there is a gap, shortened if it overlaps the sound before.

        Args:
            piece: The sound.
            at_s: When it begins; None if the container does not say.
            is_numbered: Whether a gap before it can only be a loss.
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
        """Seconds from the end of the sound so far to the beginning of the piece."""
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
