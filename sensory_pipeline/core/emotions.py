"""How it was said: four labels, and the windows they are computed for.

The labels and their order are GigaAM-Emo's. A window never spans several speakers and never leaves
its turn. The scores of a short window are shrunk toward those of the turn around it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from sensory_pipeline.core.process_request import EmotionLevel
from sensory_pipeline.core.spans import Span

Label = Literal["angry", "sad", "neutral", "positive"]
LABELS: tuple[Label, ...] = ("angry", "sad", "neutral", "positive")

Caveat = Literal["heuristic", "out_of_language"]
"""Why scores should be read with care: made by rules rather than a trained model, or by a model
trained on another language than the one spoken."""


TRUSTED_MS = 1_000
"""A window with this much voice keeps its own scores. Shorter ones, such as most words, hold too little
for a classifier that was trained on utterances."""


def trust(voiced_ms: int) -> float:
    """The weight of a window's own scores, from 0 to 1; the rest of the weight is that of its turn.

    >>> [trust(voiced_ms) for voiced_ms in (0, 250, 1_000, 4_000)]
    [0.0, 0.25, 1.0, 1.0]
    """
    return min(1.0, voiced_ms / TRUSTED_MS)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionScores:
    """Probabilities of the four labels; they sum to 1."""

    angry: float
    sad: float
    neutral: float
    positive: float

    @property
    def label(self) -> Label:
        """The most probable label; on a tie, the first in order."""
        return max(LABELS, key=lambda name: float(getattr(self, name)))

    @property
    def entropy(self) -> float:
        """Entropy in nats: 0 if one label is certain, log 4 = 1.386 if all are equal.

        >>> round(EmotionScores(angry=0.25, sad=0.25, neutral=0.25, positive=0.25).entropy, 3)
        1.386
        """
        return -sum(p * math.log(p) for p in (self.angry, self.sad, self.neutral, self.positive) if p > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionWindow:
    """A part of a recording for which an emotion is wanted.

    Attributes:
        span: The part to classify.
        turn: The speech of the same speaker around `span`, which contains it and gives context.
        speaker: None if unknown.
        parts: If the turn is longer than a classifier should take at once, the parts it takes one by one, in order.
    """

    span: Span
    turn: Span
    speaker: str | None
    parts: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Emotion:
    """An emotion classifier's result for one window.

    Attributes:
        window: The window.
        scores: Probabilities of the labels.
        arousal: Calm (negative) to excited (positive), 0 for this speaker's average; None if the engine has none.
        voiced_ms: How much of the window is voiced, in milliseconds.
        caveat: Why to read the scores with care; None if there is no reason.
    """

    window: EmotionWindow
    scores: EmotionScores
    arousal: float | None
    voiced_ms: int
    caveat: Caveat | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Emotions:
    """All emotions of one recording.

    Attributes:
        level: What an item stands for.
        items: The emotions at that level, in order.
        utterances: One emotion for each utterance, in order.
    """

    level: EmotionLevel
    items: tuple[Emotion, ...]
    utterances: tuple[Emotion, ...]
