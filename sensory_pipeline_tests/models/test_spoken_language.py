"""Which language is taken for the spoken one, where Whisper finds several about as probable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.process_request import TranscriptionSettings
from sensory_pipeline.core.spans import Span
from sensory_pipeline.engines.stt.clip import Clip
from sensory_pipeline.engines.stt.spoken_language import CANDIDATES, languages_of

SILENCE = Waveform(samples=np.zeros((1, 16), np.int16))
LOOP = "ma ma ma ma ma ma ma ma ma ma ma ma ma ma ma ma ma ma ma ma ma ma ma ma ma ma ma ma"


@dataclass(frozen=True)
class Said:
    text: str
    log_prob: float


class Speaker:
    """Stands in for the model: clips of these probabilities, and texts of this sureness in each language."""

    def __init__(self, *probabilities: dict[str, float], texts: dict[str, Said] | None = None) -> None:
        self.model = SimpleNamespace(is_multilingual=True)
        self._probabilities = probabilities
        self._texts = texts or {}
        self.decoded: list[tuple[int, str]] = []

    def detect(self, asked: Sequence[int]) -> dict[int, dict[str, float]]:
        return {i: self._probabilities[i] for i in asked}

    def decode(self, asked: Sequence[tuple[int, str]]) -> list[Said]:
        self.decoded += asked
        return [self._texts[language] for _, language in asked]

    def languages(self, clips: Sequence[Clip], known: dict[str, str] | None = None) -> list[str]:
        model: Any = self
        return languages_of(model, clips, {} if known is None else known, self.detect, self.decode)


def clip(recording: str = "a", *, end_ms: int = 4_000, **settings: Any) -> Clip:
    span = Span(start_ms=0, end_ms=end_ms)
    return Clip(recording=recording, pcm=SILENCE, span=span, speech=(span,), settings=TranscriptionSettings(**settings))


LATIN = {"la": 0.26, "en": 0.19, "es": 0.15, "fr": 0.07}
SPANISH = {"la": Said("Aki ulivier", -0.75), "en": Said("at the Olivia", -0.68), "es": Said("Aquí Olivier", -0.45)}


def test_the_most_confident_text_decides_a_doubtful_language() -> None:
    speaker, known = Speaker(LATIN, texts=SPANISH), dict[str, str]()
    assert speaker.languages([clip()], known) == ["es"]
    assert known == {"a": "es"}
    assert len(speaker.decoded) == CANDIDATES


def test_a_probable_language_is_used_directly() -> None:
    speaker = Speaker({"de": 0.5, "nl": 0.4})
    assert speaker.languages([clip()]) == ["de"]
    assert speaker.decoded == []


def test_the_threshold_is_a_setting() -> None:
    assert Speaker(LATIN).languages([clip(language_detection_threshold=None)]) == ["la"]
    assert Speaker(LATIN).languages([clip(language_detection_threshold=0.2)]) == ["la"]


def test_candidates_are_the_only_languages() -> None:
    probable = Speaker({"la": 0.5, "es": 0.3, "en": 0.05, "fr": 0.15})
    assert probable.languages([clip(languages=("en", "es"))]) == ["es"]
    assert probable.decoded == []
    doubtful = Speaker({"la": 0.5, "es": 0.06, "en": 0.08, "fr": 0.07}, texts=SPANISH | {"fr": Said("Aqui", -0.9)})
    assert doubtful.languages([clip(languages=("fr", "en", "es"))]) == ["es"]
    assert {language for _, language in doubtful.decoded} == {"fr", "en", "es"}
    assert Speaker({"la": 1.0, "es": 0.0}).languages([clip(languages=("es",))]) == ["es"]


def test_a_doubtful_clip_may_be_in_the_language_of_its_recording() -> None:
    texts = SPANISH | {"nl": Said("Aan de oever", -0.2)}
    speaker = Speaker({"nl": 0.9}, LATIN | {"nl": 0.01}, texts=texts)
    clips = [clip(multilingual=True, end_ms=9_000), clip(multilingual=True, end_ms=1_000)]
    assert speaker.languages(clips, {"a": "nl"}) == ["nl", "nl"]
    assert Speaker(LATIN, texts=texts).languages(clips[1:], {"a": "en"}) == ["es"]


def test_a_loop_has_low_confidence() -> None:
    texts = SPANISH | {"la": Said(LOOP, -0.05)}
    assert Speaker(LATIN, texts=texts).languages([clip()]) == ["es"]
    assert Speaker(LATIN, texts=texts).languages([clip(compression_ratio_threshold=None)]) == ["la"]


def test_if_all_texts_are_loops_the_most_probable_language_stays() -> None:
    texts = {language: Said(LOOP, log_prob) for language, log_prob in (("la", -0.3), ("en", -0.3), ("es", -0.3))}
    assert Speaker(LATIN, texts=texts).languages([clip()]) == ["la"]


def test_the_clips_of_a_recording_are_weighted_by_length() -> None:
    speaker = Speaker({"en": 0.9, "de": 0.1}, {"en": 0.1, "de": 0.9}, {"ru": 1.0})
    clips = [clip(end_ms=1_000), clip(end_ms=9_000), clip("b")]
    assert speaker.languages(clips) == ["de", "de", "ru"]


def test_a_known_language_is_not_detected() -> None:
    known = {"a": "pl"}
    assert Speaker().languages([clip()], known) == ["pl"]
    assert known == {"a": "pl"}


def test_each_clip_may_have_its_own() -> None:
    speaker, known = Speaker({"en": 0.9}, LATIN, texts=SPANISH), {"a": "en"}
    assert speaker.languages([clip(multilingual=True), clip(multilingual=True)], known) == ["en", "es"]


@pytest.mark.parametrize("clips", [0, 3])
def test_an_english_model_detects_no_language(clips: int) -> None:
    speaker = Speaker()
    speaker.model.is_multilingual = False
    assert speaker.languages([clip()] * clips) == ["en"] * clips
