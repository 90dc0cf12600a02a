"""The logits of a job's frames, and the emotions of its windows.

A window's result is the mean of its frames' logits; running sums give it for any window at once. A window with little
voice is shrunk toward its turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from sensory_pipeline.core.arrays import Doubles
from sensory_pipeline.core.emotions import LABELS, Caveat, Emotion, EmotionScores, EmotionWindow, trust
from sensory_pipeline.core.errors import EmptyAudio, EngineError, Terminal
from sensory_pipeline.core.pauses import parts
from sensory_pipeline.core.spans import Span
from sensory_pipeline.engines.base import ClassifyJob
from sensory_pipeline.engines.emotion import pitch

LANGUAGE = "ru"
"""Language of the speech that the model was trained on."""
LONGEST_MS = 30_000
"""A longer turn is cut into pieces, since attention costs the square of the length."""

_FRAME_MS = 40  # frame i is centred on i * _FRAME_MS


class JobLogits:
    """The logits of a job, added piece by piece, and the emotions that follow from them.

    Attributes:
        job: The job.
        turns: The pieces of each turn.
        missing: The pieces that have no logits yet.
        failed: Whether a piece failed, and with it the job.
    """

    def __init__(self, job: ClassifyJob) -> None:
        self.job = job
        self.turns = {window.turn: pieces(window.parts or (window.turn,)) for window in job.windows}
        self.missing = {piece for heard in self.turns.values() for piece in heard} if job.pcm.samples.size else set()
        self.failed = False
        self._logits: dict[Span, Doubles] = {}

    def add(self, piece: Span, logits: Doubles) -> None:
        """Add the logits of a piece.

        Args:
            piece: One of `missing`.
            logits: Shape (frames, labels).
        """
        self._logits[piece] = logits
        self.missing.remove(piece)

    def emotions(self) -> tuple[Emotion, ...] | Terminal:
        """The result, once nothing is missing."""
        job = self.job
        if not job.windows:
            return ()
        if not job.pcm.samples.size:
            return EmptyAudio("there is no sound in it to hear an emotion in")
        if not all(np.isfinite(logits).all() for logits in self._logits.values()):
            return EngineError("the emotion model's numbers overflow on this sound; try it on the CPU")
        voiced = np.pad((pitch.track(job.pcm).f0_hz > 0).cumsum(), (1, 0))
        turns = {
            turn: _Turn.joined([(piece.start_ms, self._logits[piece]) for piece in heard])
            for turn, heard in self.turns.items()
        }
        caveat: Caveat | None = None if job.language in (None, LANGUAGE) else "out_of_language"
        return tuple(
            _emotion(window, turns[window.turn], _voiced_ms(voiced, window.span), caveat) for window in job.windows
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Turn:
    """The logits of a turn.

    Attributes:
        times_ms: Centres of its frames, ascending, shape (frames,).
        sums: Running sums of logits, shape (frames + 1, labels).
    """

    times_ms: npt.NDArray[np.int64]
    sums: Doubles

    @classmethod
    def joined(cls, pieces: Sequence[tuple[int, Doubles]]) -> Self:
        """From pieces in order: the start of each, in milliseconds, and its logits."""
        times_ms = np.concatenate([start_ms + _FRAME_MS * np.arange(len(logits)) for start_ms, logits in pieces])
        sums = np.concatenate([logits for _, logits in pieces]).cumsum(axis=0)
        return cls(times_ms=times_ms, sums=np.pad(sums, ((1, 0), (0, 0))))

    def mean(self, span: Span) -> Doubles:
        """The mean over frames with their centres in the span; if there are none, the nearest frame."""
        first = int(np.searchsorted(self.times_ms, span.start_ms, side="left"))
        last = int(np.searchsorted(self.times_ms, span.end_ms, side="right"))
        if first == last:
            first = int(np.abs(2 * self.times_ms - span.start_ms - span.end_ms).argmin())
            last = first + 1
        mean: Doubles = (self.sums[last] - self.sums[first]) / (last - first)
        return mean


def _emotion(window: EmotionWindow, turn: _Turn, voiced_ms: int, caveat: Caveat | None) -> Emotion:
    around = turn.mean(window.turn)
    logits = around + trust(voiced_ms) * (turn.mean(window.span) - around)
    odds = np.exp(logits - logits.max())
    return Emotion(
        window=window,
        scores=EmotionScores(**dict(zip(LABELS, (odds / odds.sum()).tolist(), strict=True))),
        arousal=None,
        voiced_ms=voiced_ms,
        caveat=caveat,
    )


def _voiced_ms(voiced: npt.NDArray[np.int64], span: Span) -> int:
    """Milliseconds of voice in the span; `voiced` counts voiced frames before each frame, shape (frames + 1,)."""
    first, last = (min(pitch.frame_at(ms), len(voiced) - 1) for ms in (span.start_ms, span.end_ms))
    return min(int(voiced[last] - voiced[first]) * pitch.FRAME_MS, span.duration_ms)


def pieces(spans: Sequence[Span]) -> tuple[Span, ...]:
    """The spans, each in as few equal pieces as `LONGEST_MS` allows."""
    return tuple(piece for span in spans for piece in parts(span, LONGEST_MS))
