"""Who speaks, which words, and in which manner.

A speaker is a variant of espeak-ng (its formants and timbre) with its own base pitch; a manner of speaking changes
pitch, range, rate and level in the same way for everybody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scripts.miniatures.speech import Espeak, Manner, Samples, Utterance
from sensory_pipeline.core.emotions import Label

ENGLISH = (
    "zero one two three four five six seven eight nine yes good hello thanks stop start left right up down"
).split()
RUSSIAN = "ноль один два три четыре пять шесть семь восемь девять да хорошо привет спасибо".split()
WORDS = {"en": ENGLISH, "ru": RUSSIAN}
TRANSLATION = dict(zip(RUSSIAN, ENGLISH[:14], strict=True))
"""The Russian words in English, for Whisper's translate task."""

VARIANTS = (
    "f1 f2 f4 f5 m1 m2 m3 m5 m6 m7 Andy Annie Michael adam belinda steph rob max zac shelby victor Denis Gene "
    "Hugo Lee Marco Mario edward grandma grandpa iven Jacky boris"
).split()
"""Used in training."""
HELD_OUT_VARIANTS = "f3 m4 linda john anika paul".split()
"""Never used in training."""
CAST = "f2 m1 m5 m7 Annie belinda steph grandpa zac shelby".split()
"""The speakers of conversations: those of VARIANTS that sound different from each other."""

MAX_WORDS = 8
"""Of an utterance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """A manner of speaking.

    Attributes:
        rate: Words per minute.
        pitch: Added to the speaker's own.
        pitch_range: 0 to 100.
        level_db: RMS in dB of full scale.
    """

    rate: int
    pitch: int
    pitch_range: int
    level_db: float


STYLES: dict[Label, Style] = {
    "angry": Style(rate=215, pitch=0, pitch_range=95, level_db=-17.0),
    "sad": Style(rate=110, pitch=-15, pitch_range=8, level_db=-32.0),
    "neutral": Style(rate=155, pitch=0, pitch_range=40, level_db=-25.0),
    "positive": Style(rate=175, pitch=35, pitch_range=75, level_db=-21.0),
}
"""Caricatures, each different from the others in at least two ways; they make no claim about people."""


def sentence(language: str, rng: np.random.Generator, *, longest: int = MAX_WORDS, shortest: int = 1) -> list[str]:
    """Return words in random order, without repetition."""
    count = int(rng.integers(shortest, longest + 1))
    return [str(word) for word in rng.choice(WORDS[language], count, replace=False)]


def voice(language: str, variant: str, rng: np.random.Generator) -> str:
    """Return espeak-ng's name of a voice; English is British or American."""
    return f"{rng.choice(('en-us', 'en')) if language == 'en' else language}+{variant}"


def own_pitch(variant: str) -> int:
    """Return the speaker's base pitch, 35 to 55."""
    return 35 + 7 * sum(variant.encode()) % 21


def say_in_style(
    espeak: Espeak, words: list[str], *, language: str, variant: str, label: Label, rng: np.random.Generator
) -> Utterance:
    """Say the words in the manner of the label; no two renderings are quite the same."""
    style = STYLES[label]
    utterance = espeak.say(
        words,
        voice=voice(language, variant, rng),
        manner=Manner(
            rate=round(style.rate * rng.uniform(0.95, 1.05)),
            pitch=own_pitch(variant) + style.pitch + int(rng.integers(-3, 4)),
            pitch_range=style.pitch_range,
        ),
    )
    samples = levelled(utterance.samples, style.level_db + rng.uniform(-1.5, 1.5))
    return Utterance(samples=samples, words=utterance.words)


def levelled(samples: Samples, level_db: float) -> Samples:
    """Scale to a level: RMS of the whole in dB of full scale."""
    rms = np.sqrt(np.mean(np.square(samples, dtype=np.float64)))
    scaled: Samples = (samples * (10 ** (level_db / 20) / rms)).astype(np.float32)
    return np.clip(scaled, -1, 1)
