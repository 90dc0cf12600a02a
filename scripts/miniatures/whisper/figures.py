"""What the miniature Whisper can do, measured with faster-whisper itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median

import jiwer
import numpy as np
from faster_whisper import BatchedInferencePipeline, WhisperModel  # noqa: TID253 - training code

from scripts.miniatures.speech import Espeak, Samples, Utterance
from scripts.miniatures.voices import HELD_OUT_VARIANTS, TRANSLATION, VARIANTS
from scripts.miniatures.whisper.clips import speak
from sensory_pipeline.audio.waveform import SAMPLE_RATE

UTTERANCES = 40
"""In each group."""
MARGIN_S = 0.2
"""Seconds of silence around an utterance, as voice activity detection leaves it."""


def measure(folder: Path, seed: int) -> dict[str, float]:
    """Return rates from 0 to 1, and seconds; none of the sentences was used in training."""
    model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True)
    espeak, rng = Espeak(), np.random.default_rng([seed, 8])
    figures: dict[str, float] = {}
    starts: list[float] = []
    languages: list[bool] = []
    for voices, variants in (("training", VARIANTS), ("held-out", HELD_OUT_VARIANTS)):
        for language in ("en", "ru"):
            spoken = [speak(espeak, language, variants, rng) for _ in range(UTTERANCES)]
            sounds = [_padded(utterance, rng) for utterance in spoken]
            for batched in (False, True):
                heard = []
                for utterance, sound in zip(spoken, sounds, strict=True):
                    words = list(_words(model, sound, language, batched=batched))
                    heard.append(" ".join(text for text, _ in words))
                    starts += _start_errors(utterance, words)
                name = f"wer {language}, {voices} voices, {'batched' if batched else 'sequential'}"
                figures[name] = jiwer.wer([_text(utterance) for utterance in spoken], heard)
            languages += [model.detect_language(sound)[0] == language for sound in sounds]
            if language == "ru" and voices == "training":
                figures["wer of translation"] = _translation_error(model, spoken, sounds)
    figures["languages right"] = float(np.mean(languages))
    figures["median error of word starts, s"] = median(starts)
    figures["90 % of word starts within, s"] = float(np.quantile(starts, 0.9))
    return {name: round(float(value), 3) for name, value in figures.items()}


def _padded(utterance: Utterance, rng: np.random.Generator) -> Samples:
    silence = np.zeros(round(MARGIN_S * SAMPLE_RATE), np.float32)
    sound = np.concatenate([silence, utterance.samples, silence])
    padded: Samples = sound + rng.standard_normal(len(sound), dtype=np.float32) * np.float32(1e-4)
    return padded


def _words(model: WhisperModel, sound: Samples, language: str, *, batched: bool) -> Iterator[tuple[str, float]]:
    """Transcribe without batches and with timestamps, or in batches without them: faster-whisper's own defaults."""
    options = {"language": language, "beam_size": 1, "temperature": 0, "word_timestamps": True}
    if batched:
        whole = [{"start": 0, "end": len(sound) / SAMPLE_RATE}]
        segments, _ = BatchedInferencePipeline(model).transcribe(sound, clip_timestamps=whole, **options)
    else:
        segments, _ = model.transcribe(sound, **options)
    for segment in segments:
        for word in segment.words:
            yield word.word.strip(), word.start


def _start_errors(utterance: Utterance, words: list[tuple[str, float]]) -> list[float]:
    """Return the errors of word starts in an utterance that was transcribed correctly."""
    if [text for text, _ in words] != [word.text for word in utterance.words]:
        return []
    return [abs(start_s - MARGIN_S - word.start_s) for (_, start_s), word in zip(words, utterance.words, strict=True)]


def _translation_error(model: WhisperModel, spoken: list[Utterance], sounds: list[Samples]) -> float:
    heard = []
    for sound in sounds:
        segments, _ = model.transcribe(sound, language="ru", task="translate", beam_size=1, temperature=0)
        heard.append(" ".join(segment.text.strip() for segment in segments))
    meant = [" ".join(TRANSLATION[word.text] for word in utterance.words) for utterance in spoken]
    return float(jiwer.wer(meant, heard))


def _text(utterance: Utterance) -> str:
    return " ".join(word.text for word in utterance.words)
