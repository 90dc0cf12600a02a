"""How it was said: four labels, and the windows they are computed over.

The labels and their order are GigaAM-Emo's. Window rules: a window never crosses speakers and
never leaves its turn; what an engine says of a short one is shrunk toward the turn around it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from sensory_pipeline.core.requests import EmotionLevel
from sensory_pipeline.core.spans import Span

Label = Literal["angry", "sad", "neutral", "positive"]
LABELS: tuple[Label, ...] = ("angry", "sad", "neutral", "positive")

Caveat = Literal["heuristic", "out_of_language"]
"""Why scores should be read with care: made by rules rather than a trained model, or by a model
trained on another language than the one spoken."""


TRUSTED_MS = 1_000
"""Of voice: a window with so much speaks for itself. Shorter ones, most words among them, hold too little
for a classifier that was trained on utterances."""


def trust(voiced_ms: int) -> float:
    """How much of a window's answer is its own, from 0 to 1; the rest is that of its turn.

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
        """The most probable label; the first in order on a tie."""
        return max(LABELS, key=lambda name: float(getattr(self, name)))

    @property
    def entropy(self) -> float:
        """In nats: 0 when one label is certain, log 4 = 1.386 when all are equal.

        >>> round(EmotionScores(angry=0.25, sad=0.25, neutral=0.25, positive=0.25).entropy, 3)
        1.386
        """
        return -sum(p * math.log(p) for p in (self.angry, self.sad, self.neutral, self.positive) if p > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionWindow:
    """What an emotion classifier is asked about.

    span: the stretch to judge; turn: the stretch of the same speaker around it, which gives
    context (span lies inside); speaker: None where nobody knows; parts: where the turn is longer than a
    classifier should hear at once, those that it hears one by one, in order.
    """

    span: Span
    turn: Span
    speaker: str | None
    parts: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Emotion:
    """An emotion classifier's answer for one window.

    arousal: calm (negative) to excited (positive), 0 for this speaker's average; None for engines
    that do not give it. voiced_ms: how much of the window carries voice.
    """

    window: EmotionWindow
    scores: EmotionScores
    arousal: float | None
    voiced_ms: int
    caveat: Caveat | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Emotions:
    """items: the answers at the requested level; utterances: one for each utterance, in order."""

    level: EmotionLevel
    items: tuple[Emotion, ...]
    utterances: tuple[Emotion, ...]
