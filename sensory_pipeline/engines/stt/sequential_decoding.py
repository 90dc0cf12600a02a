"""Decodes clips one after the other, by faster-whisper's own sequential decoder.

It can do what batches cannot: timestamps of segments, other temperatures, silence around improbable words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sensory_pipeline.core.process_request import TranscriptionSettings
from sensory_pipeline.engines.stt.clip import Clip, DecodedSegment, DecodedWord
from sensory_pipeline.engines.stt.spoken_language import possible

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

WINDOW_MS = 30_000
"""Speech from which a language is detected."""


def decode_alone(model: WhisperModel, clip: Clip, language: str) -> list[DecodedSegment]:
    """What was said in a clip, by segments.

    Args:
        model: Whisper.
        clip: The clip.
        language: Of the recording; not used if each clip's own language is asked for.
    """
    multilingual = clip.settings.multilingual
    if multilingual and clip.settings.languages:
        language, multilingual = language_of(model, [clip]), False
    # a clip fits into a window, so the window's language is the clip's
    spoken = {} if multilingual else {"language": language}
    segments, about = model.transcribe(clip.samples, **spoken, **_options(clip.settings), multilingual=multilingual)
    return [
        DecodedSegment(
            text=segment.text,
            words=tuple(
                DecodedWord(word.word, float(word.start), float(word.end), float(word.probability))
                for word in segment.words or ()
            ),
            language=about.language,
        )
        for segment in segments
    ]


def language_of(model: WhisperModel, clips: Sequence[Clip]) -> str:
    """The likeliest language that may be spoken, detected from the first window of speech."""
    if not model.model.is_multilingual:
        return "en"
    speech = np.concatenate([clip.samples for clip in first_clips(clips, WINDOW_MS)])
    # as faster-whisper's own transcribe does; given the sound, it would cut it before computing the features
    heard = model.detect_language(features=model.feature_extractor(speech))[2]
    probabilities = possible(dict(heard), clips[0].settings)
    return max(probabilities, key=lambda language: probabilities[language])


def first_clips(clips: Iterable[Clip], enough_ms: int) -> Iterator[Clip]:
    """The first clips that together hold at least `enough_ms` milliseconds of speech, or all."""
    heard_ms = 0
    for clip in clips:
        if heard_ms >= enough_ms:
            return
        heard_ms += clip.span.duration_ms
        yield clip


def _options(settings: TranscriptionSettings) -> dict[str, Any]:
    return {
        "task": "translate" if settings.translate else "transcribe",
        "beam_size": settings.beam_size,
        "temperature": list(settings.temperatures),
        "initial_prompt": settings.initial_prompt,
        "hotwords": settings.hotwords,
        "compression_ratio_threshold": settings.compression_ratio_threshold,
        "log_prob_threshold": settings.log_prob_threshold,
        "no_speech_threshold": settings.no_speech_threshold,
        "hallucination_silence_threshold": settings.hallucination_silence_s,
        "condition_on_previous_text": False,
        "word_timestamps": True,
        "vad_filter": False,
    }
