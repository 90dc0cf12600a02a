"""Speakers who take turns, with gaps and overlaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scripts.miniatures.speech import Espeak, Samples
from scripts.miniatures.voices import STYLES, say_in_style, sentence
from sensory_pipeline.audio.waveform import SAMPLE_RATE

OVERLAPPED = 0.15
"""Share of turns that begin before the previous one has ended."""

Speakers = dict[str, list[Samples]]
"""Utterances of each speaker, in every manner of speaking."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixture:
    """Several speakers in one recording.

    Attributes:
        samples: float32, 16 kHz.
        voices: Indices of the speakers.
        activity: Who speaks, shape (speakers, 10 ms).
    """

    samples: Samples
    voices: npt.NDArray[np.int64]
    activity: npt.NDArray[np.bool_]


def record_speakers(espeak: Espeak, variants: list[str], utterances: int, rng: np.random.Generator) -> Speakers:
    """Return utterances of every voice; one in four is Russian."""
    labels = list(STYLES)
    speakers: Speakers = {}
    for variant in variants:
        speakers[variant] = []
        for index in range(utterances):
            language = "ru" if rng.random() < 0.25 else "en"
            words = sentence(language, rng, shortest=2)
            label = labels[index % len(labels)]
            utterance = say_in_style(espeak, words, language=language, variant=variant, label=label, rng=rng)
            speakers[variant].append(utterance.samples)
    return speakers


def mix(speakers: Speakers, count: int, duration_s: float, rng: np.random.Generator) -> Mixture:
    """Mix this many speakers; the first one may begin before the mixture does."""
    samples = np.zeros(round(duration_s * SAMPLE_RATE), np.float32)
    activity = np.zeros((count, round(duration_s * 100)), np.bool_)
    everyone = list(speakers.values())
    voices = rng.choice(len(everyone), count, replace=False)
    loudness = 10 ** rng.uniform(-0.2, 0, count)
    at_s, speaker = rng.uniform(-1.5, 0.8), int(rng.integers(count))
    while at_s < duration_s - 0.3:
        if count > 1 and rng.random() < 0.85:
            speaker = int(speaker + rng.integers(1, count)) % count
        own = everyone[voices[speaker]]
        utterance = own[rng.integers(len(own))]
        start = round(at_s * SAMPLE_RATE)
        heard = utterance[max(0, -start) : len(samples) - start]
        first = max(start, 0)
        samples[first : first + len(heard)] += np.float32(loudness[speaker]) * heard
        activity[speaker, first // 160 : (first + len(heard)) // 160] = True
        pause_s = -rng.uniform(0.2, 1.0) if rng.random() < OVERLAPPED else rng.uniform(0.05, 0.9)
        at_s += len(utterance) / SAMPLE_RATE + pause_s
    return Mixture(samples=disturbed(samples, rng), voices=voices, activity=activity)


def disturbed(samples: Samples, rng: np.random.Generator) -> Samples:
    """Add white noise at any level."""
    noise = rng.standard_normal(len(samples), dtype=np.float32) * np.float32(10 ** rng.uniform(-4, -2.3))
    louder: Samples = (samples + noise) * np.float32(10 ** rng.uniform(-0.7, 0.3))
    return louder
