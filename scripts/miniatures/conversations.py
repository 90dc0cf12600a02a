"""Synthetic conversations whose words, times, speakers and manners of speaking are known.

`python -m scripts.train_miniatures conversations` writes those in the repository, so that no test needs espeak-ng.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from scripts.miniatures.speech import Espeak, Samples
from scripts.miniatures.voices import CAST, STYLES, say_in_style, sentence
from sensory_pipeline.audio.waveform import SAMPLE_RATE
from sensory_pipeline.core.emotions import Label

WORDS_A_TURN = (4, 5)
PAUSE_S = (2.7, 3.0)
"""Between turns; long enough that our Whisper engine decodes every turn by itself, which the miniature needs."""
NOISE = 3e-4
"""RMS, full scale = 1. The miniature pipeline was not trained on perfect silence, and takes it for speech."""
BITS = 12
"""Bits kept of a sample, so that files are small."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TrueWord(_Value):
    """A word; times are seconds from the start of the conversation."""

    text: str
    start_s: float
    end_s: float


class TrueTurn(_Value):
    """A turn; turns follow one another without overlap.

    Attributes:
        speaker: Who speaks.
        emotion: Manner of the whole turn.
        start_s: Start of the first word in seconds.
        end_s: Where the sound of the last word has died away.
        words: The words.
    """

    speaker: str
    emotion: Label
    start_s: float
    end_s: float
    words: tuple[TrueWord, ...]


class Truth(_Value):
    """Everything that is known about a conversation.

    Attributes:
        seed: Seed it was made from.
        language: `en` or `ru`.
        duration_s: Length in seconds.
        turns: In order of time.
    """

    seed: int
    language: str
    duration_s: float
    turns: tuple[TrueTurn, ...]

    @property
    def speakers(self) -> list[str]:
        return sorted({turn.speaker for turn in self.turns})

    @property
    def text(self) -> str:
        return " ".join(word.text for turn in self.turns for word in turn.words)


def make_conversation(seed: int, *, language: str = "en", speakers: int = 2, turns: int = 8) -> tuple[Samples, Truth]:
    """Make a conversation; the same seed gives the same one.

    Args:
        seed: The seed.
        language: `en` or `ru`.
        speakers: Number of speakers.
        turns: Number of turns.

    Returns:
        float32 samples at 16 kHz, and the truth.

    Raises:
        ConfigurationError: espeak-ng is not installed.
    """
    rng = np.random.default_rng([seed, 7])
    espeak = Espeak()
    cast = [str(name) for name in rng.choice(CAST, speakers, replace=False)]
    labels = [label for _ in range(turns // len(STYLES) + 1) for label in rng.permutation(list(STYLES))]
    pieces: list[Samples] = []
    spoken: list[TrueTurn] = []
    at = _pause(rng, pieces)
    for index in range(turns):
        variant = cast[index % speakers]
        utterance = say_in_style(
            espeak,
            sentence(language, rng, shortest=WORDS_A_TURN[0], longest=WORDS_A_TURN[1]),
            language=language,
            variant=variant,
            label=labels[index],
            rng=rng,
        )
        start_s = at / SAMPLE_RATE
        words = tuple(
            TrueWord(text=word.text, start_s=round(start_s + word.start_s, 3), end_s=round(start_s + word.end_s, 3))
            for word in utterance.words
        )
        spoken.append(
            TrueTurn(
                speaker=variant,
                emotion=labels[index],
                start_s=words[0].start_s,
                end_s=round(start_s + utterance.duration_s, 3),
                words=words,
            )
        )
        pieces.append(utterance.samples)
        at += len(utterance.samples) + _pause(rng, pieces)
    samples = np.concatenate(pieces)
    samples += rng.standard_normal(len(samples), dtype=np.float32) * np.float32(NOISE)
    duration_s = round(len(samples) / SAMPLE_RATE, 3)
    return samples, Truth(seed=seed, language=language, duration_s=duration_s, turns=tuple(spoken))


def write_conversation(samples: Samples, truth: Truth, path: Path) -> None:
    """Write path.flac and path.json."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = 2 ** (BITS - 1)
    pcm = np.clip(np.round(samples * half), -half, half - 1) * 2 ** (16 - BITS)
    _write_flac(pcm.astype(np.int16), path.with_suffix(".flac"))
    path.with_suffix(".json").write_text(truth.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_truth(path: Path) -> Truth:
    """Read the truth about a conversation, given the path of its FLAC or JSON file."""
    return Truth.model_validate_json(path.with_suffix(".json").read_bytes())


def _pause(rng: np.random.Generator, pieces: list[Samples]) -> int:
    """Add a pause and return its length in samples."""
    length = round(rng.uniform(*PAUSE_S) * SAMPLE_RATE)
    pieces.append(np.zeros(length, np.float32))
    return length


def _write_flac(pcm: npt.NDArray[np.int16], path: Path) -> None:
    with av.open(str(path), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE, options={"compression_level": "12"})
        stream.layout = "mono"
        stream.format = "s16"
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        frame.time_base = Fraction(1, SAMPLE_RATE)
        frame.pts = 0
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
