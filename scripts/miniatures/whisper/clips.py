"""Training clips: one or more utterances in a window, clean or noisy, and clips without speech."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from scripts.miniatures.speech import Espeak, Manner, Samples, Utterance, Word
from scripts.miniatures.voices import ENGLISH, MAX_WORDS, sentence, voice
from sensory_pipeline.audio.waveform import SAMPLE_RATE

LONG_S = 10.0
"""Windows of at least this length have their clip at the start, like faster-whisper's 30 s."""
SILENT = 0.08
"""Share of clips without a word."""
TRANSLATED = 0.2
"""Share of the Russian clips."""
TIMESTAMPED = 0.45


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixing:
    """How difficult clips are.

    Attributes:
        prompted: Share of clips that follow a text.
        shifted: Share of short windows that are placed later in the 30 s, so that late positions are learnt cheaply.
        fullest_s: Maximum seconds of speech in a long window.
        quietest: Level of an utterance relative to its neighbours, as a power of ten.
    """

    prompted: float = 0.0
    shifted: float = 0.0
    fullest_s: float = 10.0
    quietest: float = -0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A training clip.

    Attributes:
        samples: The window, 16 kHz.
        content_s: Seconds of content; the rest is padding.
        first_s: Where in the 30 s the window is placed.
        language: `en` or `ru`.
        translated: Whether the target is the translation.
        timestamped: Whether the target has timestamps.
        prompt: Words said before.
        segments: The words of each utterance, in seconds from the start of the window.
    """

    samples: Samples
    content_s: float
    first_s: float
    language: str
    translated: bool
    timestamped: bool
    prompt: tuple[str, ...]
    segments: tuple[tuple[Word, ...], ...]


class Pool:
    """Utterances by language, in order of length."""

    def __init__(
        self, espeak: Espeak, count: int, variants: list[str], rng: np.random.Generator, *, russian: float = 0.3
    ) -> None:
        utterances = defaultdict(list)
        for _ in range(count):
            language = "ru" if rng.random() < russian else "en"
            utterance = speak(espeak, language, variants, rng)
            utterances[language].append(utterance)
        self._utterances = {
            language: sorted(spoken, key=lambda utterance: utterance.duration_s)
            for language, spoken in utterances.items()
        }
        self._durations_s = {
            language: np.array([utterance.duration_s for utterance in spoken])
            for language, spoken in self._utterances.items()
        }
        self._russian = russian

    def language(self, rng: np.random.Generator) -> str:
        return "ru" if rng.random() < self._russian else "en"

    def draw(self, language: str, longest_s: float, rng: np.random.Generator) -> Utterance | None:
        """Return a random utterance that fits; None if there is none."""
        fitting = int(np.searchsorted(self._durations_s[language], longest_s))
        return self._utterances[language][rng.integers(fitting)] if fitting else None


def speak(espeak: Espeak, language: str, variants: list[str], rng: np.random.Generator) -> Utterance:
    """Return random words in any manner that espeak-ng has."""
    return espeak.say(
        sentence(language, rng),
        voice=voice(language, str(rng.choice(variants)), rng),
        manner=Manner(
            rate=int(rng.integers(100, 231)),
            pitch=int(rng.integers(10, 96)),
            pitch_range=int(rng.integers(5, 96)),
            word_gap=int(rng.choice([0, 0, 1, 3, 6, 10, 20])),
        ),
    )


def make_clip(pool: Pool, window_s: float, mixing: Mixing, rng: np.random.Generator) -> Clip:
    """Return a clip of one language in a window of this many seconds."""
    language = pool.language(rng)
    samples = np.zeros(round(window_s * SAMPLE_RATE), np.float32)
    silent = rng.random() < SILENT
    segments = () if silent else _fill(samples, pool, language, window_s, mixing, rng)
    if segments:
        content_s = min(segments[-1][-1].end_s + rng.choice([0.02, 0.2, 0.5, 1.5]), window_s)
    else:
        content_s = rng.uniform(0.03, 0.8) if rng.random() < 0.7 else rng.uniform(window_s / 8, window_s)
        _click(samples, pool, language, content_s, rng)
    _add_noise(samples, rng)
    prompted = mixing.prompted > 0 and rng.random() < mixing.prompted
    shifted = mixing.shifted > 0 and window_s < LONG_S and rng.random() < mixing.shifted
    return Clip(
        samples=samples,
        content_s=float(content_s),
        first_s=round(rng.uniform(0, 30 - window_s) * 50) / 50 if shifted else 0.0,
        language=language,
        translated=language == "ru" and rng.random() < TRANSLATED,
        timestamped=rng.random() < TIMESTAMPED,
        prompt=tuple(rng.choice(ENGLISH, rng.integers(1, 2 * MAX_WORDS))) if prompted else (),
        segments=segments,
    )


def _fill(
    samples: Samples, pool: Pool, language: str, window_s: float, mixing: Mixing, rng: np.random.Generator
) -> tuple[tuple[Word, ...], ...]:
    """Put utterances into the window, one after the other; return their words."""
    at_s = rng.uniform(0, 0.6) if rng.random() < 0.9 else rng.uniform(0, min(4.0, window_s / 3))
    if window_s >= LONG_S:
        wanted_s = rng.uniform(0.8, min(mixing.fullest_s, window_s))
    else:
        wanted_s = rng.uniform(0.15, 1.0) * window_s
    segments: list[tuple[Word, ...]] = []
    while not segments or (wanted_s - at_s > 0.8 and rng.random() > 0.15):
        room_s = window_s - at_s - 0.05
        utterance = pool.draw(language, min(room_s, max(wanted_s - at_s, 0.7)), rng)
        if utterance is None:
            break
        first = round(at_s * SAMPLE_RATE)
        loudness = np.float32(10 ** rng.uniform(mixing.quietest, 0))
        samples[first : first + len(utterance.samples)] += loudness * utterance.samples
        segments.append(
            tuple(
                Word(text=word.text, start_s=word.start_s + at_s, end_s=word.end_s + at_s) for word in utterance.words
            )
        )
        at_s += utterance.duration_s + (rng.uniform(0.15, 0.6) if rng.random() < 0.6 else rng.uniform(0.6, 2.0))
    return tuple(segments)


def _click(samples: Samples, pool: Pool, language: str, content_s: float, rng: np.random.Generator) -> None:
    """Add, half of the time, the last tenth of a word, as an imprecise cut leaves it."""
    utterance = pool.draw(language, 9.0, rng)
    if utterance is not None and rng.random() < 0.5:
        tail = utterance.samples[-round(min(rng.uniform(0.01, 0.13), content_s) * SAMPLE_RATE) :]
        samples[: len(tail)] = tail


def _add_noise(samples: Samples, rng: np.random.Generator) -> None:
    """Add white or low-pass noise, 15 to 60 dB below the speech; then change the level of the whole."""
    noise = rng.standard_normal(len(samples), dtype=np.float32)
    if rng.random() < 0.5:
        noise = np.convolve(noise, np.full(4, 0.5, np.float32), "same")
    spoken = samples[np.abs(samples) > 1e-3]
    level = float(np.sqrt(np.mean(spoken**2))) if spoken.size else 10 ** rng.uniform(-4, -1)
    samples += noise * np.float32(level * 10 ** (-rng.choice([15, 25, 40, 60]) / 20))
    samples *= np.float32(10 ** rng.uniform(-1.2, 0))
