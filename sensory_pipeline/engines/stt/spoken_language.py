"""Which language is spoken: the most probable one, or if Whisper is unsure, the one with the most probable text.

Whisper may detect Latin in a short Spanish clip with a probability of 0.3. If the clip is decoded in each of the
likeliest languages, the text in the right one has the highest probability. If settings name the languages that may be
spoken, no others are considered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from sensory_pipeline.core.process_request import TranscriptionSettings
from sensory_pipeline.engines.stt.clip import Clip

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

CANDIDATES = 3


class Text(Protocol):
    """A decoded text.

    Attributes:
        text: The text.
        log_prob: Mean log probability of its tokens.
    """

    @property
    def text(self) -> str: ...

    @property
    def log_prob(self) -> float: ...


Decode = Callable[[Sequence[tuple[int, str]]], Sequence[Text]]
"""Decodes clips, given by number, each in a language."""
Probabilities = Mapping[str, float]
Detect = Callable[[Sequence[int]], Mapping[int, Probabilities]]
"""The probability of each language in each of these clips, given by number."""


def languages_of(
    model: WhisperModel, clips: Sequence[Clip], known: dict[str, str], detect: Detect, decode: Decode
) -> list[str]:
    """The language of each clip: that of its recording, or with the setting `multilingual`, its own.

    Args:
        model: Whisper.
        clips: To detect languages for.
        known: Languages of recordings. Those detected here are added; all clips of a recording count, weighted by their
            duration.
        detect: Detects the language of clips.
        decode: Decodes clips in given languages.
    """
    if not model.model.is_multilingual:
        return ["en"] * len(clips)
    own = {i for i, clip in enumerate(clips) if clip.settings.multilingual}
    untold = [i for i, clip in enumerate(clips) if i in own or clip.recording not in known]
    heard = detect(untold)
    parts: dict[str, list[int]] = {}
    for i in untold:
        if clips[i].recording not in known:
            parts.setdefault(clips[i].recording, []).append(i)
    known |= {recording: _detected(clips, heard, indices, decode) for recording, indices in parts.items()}
    return [
        _detected(clips, heard, [i], decode, around=known[clip.recording]) if i in own else known[clip.recording]
        for i, clip in enumerate(clips)
    ]


def possible(probabilities: Probabilities, settings: TranscriptionSettings) -> dict[str, float]:
    """The probabilities of the languages that may be spoken, scaled so that they sum to 1."""
    if not settings.languages:
        return dict(probabilities)
    kept = {language: probabilities[language] for language in settings.languages}
    total = sum(kept.values())
    return {language: p / total if total else 1 / len(kept) for language, p in kept.items()}


def _detected(
    clips: Sequence[Clip],
    heard: Mapping[int, Probabilities],
    indices: Sequence[int],
    decode: Decode,
    around: str | None = None,
) -> str:
    """The language of these clips together. `around`, the language of their recording, is always tried if known."""
    weights = {i: clips[i].span.duration_ms / sum(clips[j].span.duration_ms for j in indices) for i in indices}
    settings = clips[indices[0]].settings
    probabilities = possible(_mean((weight, heard[i]) for i, weight in weights.items()), settings)
    likeliest = sorted(probabilities, key=lambda language: probabilities[language], reverse=True)
    threshold = settings.language_detection_threshold
    if threshold is None or probabilities[likeliest[0]] >= threshold:
        return likeliest[0]
    tried = (*likeliest[:CANDIDATES], *([around] if around else []))
    candidates = list(dict.fromkeys(tried))
    texts = iter(decode([(i, language) for language in candidates for i in indices]))
    sureness = {
        language: sum(weights[i] * _sureness(next(texts), settings.compression_ratio_threshold) for i in indices)
        for language in candidates
    }
    return max(candidates, key=lambda language: sureness[language])


def _mean(votes: Iterable[tuple[float, Probabilities]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for weight, vote in votes:
        for language, probability in vote.items():
            total[language] = total.get(language, 0.0) + weight * probability
    return total


def _sureness(text: Text, limit: float | None) -> float:
    """The log probability of a text. That of a repetition loop is high and means nothing, so it gets a low one."""
    from faster_whisper.transcribe import get_compression_ratio

    loops = limit is not None and get_compression_ratio(text.text.strip()) > limit
    return -1e3 if loops else text.log_prob
