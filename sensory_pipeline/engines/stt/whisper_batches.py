"""Decodes clips of many recordings together: one pass of the encoder serves language, text and word times.

The result for a clip does not depend on its batch. With whole windows of 30 s (a GPU, or no SENSORY_WINDOW_PADDING_S)
it is that of faster-whisper's batched pipeline for the clip alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from math import ceil
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from sensory_pipeline.core.process_request import TranscriptionSettings
from sensory_pipeline.engines.stt.clip import Clip, DecodedSegment, DecodedWord
from sensory_pipeline.engines.stt.encoder_output import EncoderOutput, Features, Prepared, on_a_cpu, padded
from sensory_pipeline.engines.stt.spoken_language import Probabilities, languages_of
from sensory_pipeline.engines.stt.worker_shares import shares, side_by_side

if TYPE_CHECKING:
    from faster_whisper import WhisperModel
    from faster_whisper.tokenizer import Tokenizer

_PREPENDED = "\"'“¿([{-"
_APPENDED = "\"'.。,，!！?？:：”)]}、"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decoded:
    tokens: list[int]
    language: str
    text: str
    log_prob: float
    no_speech: float


def features_of(model: WhisperModel, clip: Clip) -> Features:
    """The encoder's input for a clip: a window; on a GPU a whole one, so that all have the same length."""
    heard: Features = model.feature_extractor(clip.samples)[..., :-1]
    padding_s = clip.settings.window_padding_s
    return padded(heard, padding_s, whole=padding_s is None or not on_a_cpu(model))


def decode(
    model: WhisperModel,
    clips: Sequence[Clip],
    ready: Sequence[Prepared],
    languages: dict[str, str],
    workers: Executor,
) -> list[DecodedSegment]:
    """What was said in each clip, at a temperature of 0.

    Args:
        model: Whisper.
        clips: In the order of `ready`.
        ready: The clips on their way into the batch.
        languages: Of recordings, if known. Languages detected here are added.
        workers: One thread for each worker of the model. On a CPU that is faster than all cores for one call; a GPU
            waits less.
    """
    encoded = EncoderOutput(model, ready, workers)
    detected = partial(_detected, model, encoded, workers)
    generated = partial(_generated, model, clips, encoded, workers)
    decoded = generated(list(enumerate(languages_of(model, clips, languages, detected, generated))))
    words = _words(model, clips, encoded, decoded, workers)
    return [
        DecodedSegment(
            text="" if _silent(found, clip.settings) else found.text,
            words=() if _silent(found, clip.settings) else tuple(said),
            language=found.language,
            needs_fallback=_needs_fallback(found, clip.settings),
        )
        for clip, found, said in zip(clips, decoded, words, strict=True)
    ]


def _detected(
    model: WhisperModel, encoded: EncoderOutput, workers: Executor, asked: Sequence[int]
) -> dict[int, Probabilities]:
    """The probabilities of languages in the clips with these numbers."""

    def detect(indices: Sequence[int]) -> list[list[tuple[str, float]]]:
        found: list[list[tuple[str, float]]] = model.model.detect_language(encoded.rows(indices))
        return found

    parts = [part for indices in encoded.alike(asked) for part in shares(indices, model.model.num_workers)]
    return {
        i: {token[2:-2]: probability for token, probability in answer}
        for indices, answers in zip(parts, side_by_side(workers, detect, parts), strict=True)
        for i, answer in zip(indices, answers, strict=True)
    }


def _generated(
    model: WhisperModel,
    clips: Sequence[Clip],
    encoded: EncoderOutput,
    workers: Executor,
    asked: Sequence[tuple[int, str]],
) -> list[_Decoded]:
    """Decode the clips with these numbers, each in a language."""
    from faster_whisper.transcribe import get_suppressed_tokens

    settings = [clips[i].settings for i, _ in asked]
    tokenizers = [_tokenizer(model, own, language) for own, (_, language) in zip(settings, asked, strict=True)]
    prompts = [_prompt(model, own, tokenizer) for own, tokenizer in zip(settings, tokenizers, strict=True)]

    def generate(indices: Sequence[int]) -> list[Any]:
        results: list[Any] = model.model.generate(
            encoded.rows([asked[i][0] for i in indices]),
            [prompts[i] for i in indices],
            beam_size=settings[indices[0]].beam_size,
            max_length=model.max_length,
            suppress_tokens=get_suppressed_tokens(tokenizers[indices[0]], [-1]),
            return_scores=True,
            return_no_speech_prob=True,
        )
        return results

    # CTranslate2 needs windows of one length, prompts of one length and one beam size in a call
    alike = _alike(
        (encoded.length(i), own.beam_size, len(prompt))
        for (i, _), own, prompt in zip(asked, settings, prompts, strict=True)
    )
    parts = [part for indices in alike for part in shares(indices, model.model.num_workers)]
    decoded: dict[int, _Decoded] = {}
    for indices, results in zip(parts, side_by_side(workers, generate, parts), strict=True):
        for i, result in zip(indices, results, strict=True):
            tokens = result.sequences_ids[0]
            decoded[i] = _Decoded(
                tokens=tokens,
                language=asked[i][1],
                text=tokenizers[i].decode(tokens),
                # the score is the mean over the tokens without the one that ends the text
                log_prob=result.scores[0] * len(tokens) / (len(tokens) + 1),
                no_speech=result.no_speech_prob,
            )
    return [decoded[i] for i in range(len(asked))]


def _words(
    model: WhisperModel, clips: Sequence[Clip], encoded: EncoderOutput, decoded: Sequence[_Decoded], workers: Executor
) -> list[list[DecodedWord]]:
    """The words with their times, from the decoder's cross-attention."""
    alone = on_a_cpu(model)  # takes half the time there
    keys = (
        # CTranslate2 pads shorter texts, and the padding moves the times of their words by a frame or two
        (found.language, clip.settings.translate, len(found.tokens), index if alone else None)
        for index, (clip, found) in enumerate(zip(clips, decoded, strict=True))
    )

    def align(indices: Sequence[int]) -> list[list[DecodedWord]]:
        tokenizer = _tokenizer(model, clips[indices[0]].settings, decoded[indices[0]].language)
        texts = [[token for token in decoded[i].tokens if token < tokenizer.eot] for i in indices]
        if not texts[0]:
            return [[] for _ in indices]
        sizes = [ceil(clips[i].span.duration_ms / 1000) * model.frames_per_second for i in indices]
        alignments = model.find_alignment(tokenizer, texts, encoded.rows(indices), sizes)
        return [
            _trimmed(model, tokenizer, clips[i], decoded[i], alignment)
            for i, alignment in zip(indices, alignments, strict=True)
        ]

    alike = _alike(keys)
    words: dict[int, list[DecodedWord]] = {}
    for indices, found in zip(alike, side_by_side(workers, align, alike), strict=True):
        words |= zip(indices, found, strict=True)
    return [words[i] for i in range(len(clips))]


def _trimmed(
    model: WhisperModel, tokenizer: Tokenizer, clip: Clip, found: _Decoded, alignment: list[dict[str, Any]]
) -> list[DecodedWord]:
    """Shorten words that are too long, and join punctuation to words, by faster-whisper's own rules.

    The rules are in a method that would align again, so it gets an object that returns the known alignment in place of
    a model.
    """
    from faster_whisper import WhisperModel as Rules

    aligned: Any = SimpleNamespace(find_alignment=lambda *_: [alignment], frames_per_second=model.frames_per_second)
    segment: dict[str, Any] = {"seek": 0, "start": 0.0, "end": clip.span.duration_ms / 1000, "tokens": found.tokens}
    Rules.add_word_timestamps(aligned, [[segment]], tokenizer, None, 0, _PREPENDED, _APPENDED, 0.0)
    return [DecodedWord(**word) for word in segment["words"]]


def _silent(found: _Decoded, settings: TranscriptionSettings) -> bool:
    """Whether it is more likely no speech at all."""
    if settings.no_speech_threshold is None or found.no_speech <= settings.no_speech_threshold:
        return False
    return settings.log_prob_threshold is None or found.log_prob <= settings.log_prob_threshold


def _needs_fallback(found: _Decoded, settings: TranscriptionSettings) -> bool:
    from faster_whisper.transcribe import get_compression_ratio

    improbable = settings.log_prob_threshold is not None and found.log_prob < settings.log_prob_threshold
    if improbable and settings.no_speech_threshold is not None and found.no_speech > settings.no_speech_threshold:
        return False  # silence
    limit = settings.compression_ratio_threshold
    return improbable or (limit is not None and get_compression_ratio(found.text.strip()) > limit)


def _prompt(model: WhisperModel, settings: TranscriptionSettings, tokenizer: Tokenizer) -> list[int]:
    previous = tokenizer.encode(settings.initial_prompt) if settings.initial_prompt else []
    prompt: list[int] = model.get_prompt(tokenizer, previous, without_timestamps=True, hotwords=settings.hotwords)
    return prompt


def _tokenizer(model: WhisperModel, settings: TranscriptionSettings, language: str) -> Tokenizer:
    from faster_whisper.tokenizer import Tokenizer

    task = "translate" if settings.translate else "transcribe"
    return Tokenizer(model.hf_tokenizer, model.model.is_multilingual, task=task, language=language)


def _alike(keys: Iterable[object]) -> list[list[int]]:
    """Indices of equal keys, in order of first occurrence."""
    found: dict[object, list[int]] = {}
    for index, key in enumerate(keys):
        found.setdefault(key, []).append(index)
    return list(found.values())
