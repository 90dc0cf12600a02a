"""Whisper where something fails: what cannot be heard costs nothing else."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.errors import ConfigurationError, EngineError
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.engines.cache import ModelCache
from sensory_pipeline_tests.miniature_whisper import (
    ENGLISH,
    LONGEST_MS,
    PLAIN,
    REQUESTS,
    answer,
    choking_on,
    clip_spans,
    clips_of,
    conversation,
    engine,
    faster_whisper,
    heard,
    jobs,
    phrase,
    said,
    with_model,
    with_standing_in,
)

SHORT = REQUESTS["short clips"]


def test_an_error_fails_only_its_recording(whisper: Path) -> None:
    good, bad = phrase("english-two"), phrase("english-three")

    def transcribe(samples: npt.NDArray[np.float32], **_: Any) -> Any:
        (clip,) = clip_spans(bad.mono(), LONGEST_MS)
        if len(samples) == clip.duration_ms * 16:
            raise RuntimeError("No position encodings are defined for positions >= 448, but got position 448")
        return [said((" hello", 0, 0.5))], ENGLISH

    transcriber, cache = with_model(whisper, transcribe)
    with closing(cache):
        answers = dict(
            transcriber.transcribe(jobs(good, bad, good, request=PLAIN.model_copy(update={"language": "en"})))
        )
    assert isinstance(answers["1"], EngineError)
    assert "position 448" in str(answers["1"])
    assert answers["0"] == answers["2"]
    assert isinstance(answers["0"], Transcript)
    assert answers["0"].text == "hello"


@pytest.mark.parametrize(
    ("message", "raised", "told"),
    [
        ("CUDA failed with error out of memory", ConfigurationError, "smaller model"),
        ("cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED", ConfigurationError, "smaller model"),
        ("CUDA failed with error an illegal memory access was encountered", RuntimeError, "illegal"),
    ],
)
def test_a_fault_of_the_device_is_no_recordings_fault(
    whisper: Path, message: str, raised: type[Exception], told: str
) -> None:
    def transcribe(*_: Any, **__: Any) -> Any:
        raise RuntimeError(message)

    transcriber, cache = with_model(whisper, transcribe)
    with closing(cache), pytest.raises(raised, match=told):
        answer(transcriber, conversation("english-two"))


@pytest.mark.parametrize(
    ("batch_size", "language", "workers"), [(1, "auto", 1), (2, "en", 1), (8, "auto", 1), (8, "auto", 2)]
)
def test_a_clip_that_cannot_be_decoded_is_a_gap_among_the_others(
    whisper: Path, cache: ModelCache, batch_size: int, language: str, workers: int
) -> None:
    pcm, request = conversation("english-two"), SHORT.model_copy(update={"language": language})
    whole = heard(engine(whisper, cache, batch_size=batch_size), pcm, request)
    spans = clips_of(pcm, request)
    assert len(spans) >= 3
    for gap in (spans[0], spans[-1]):
        transcriber, own = with_standing_in(
            whisper, choking_on(whisper, pcm.cut(gap), workers=workers), batch_size=batch_size
        )
        with closing(own):
            found = heard(transcriber, pcm, request)
        assert found.gaps == (gap,)
        assert found.language == whole.language
        left = [segment for segment in whole.segments if not segment.span.overlap_ms(gap)]
        assert 0 < len(left) < len(whole.segments)
        assert list(found.segments) == left


def test_a_clip_that_a_batch_cannot_decode_is_tried_alone(whisper: Path) -> None:
    pcm = conversation("english-two")
    spans = clips_of(pcm, SHORT)
    model = choking_on(whisper, pcm.cut(spans[0]))
    model.transcribe = lambda *_, **__: ([said((" alone", 0, 0.5))], ENGLISH)
    transcriber, cache = with_standing_in(whisper, model, batch_size=8)
    with closing(cache):
        found = heard(transcriber, pcm, SHORT.model_copy(update={"language": "en"}))
    assert found.gaps == ()
    assert found.words[0].text == "alone"
    assert [word.text for word in found.words].count("alone") == 1


def test_a_recording_whose_speech_detection_fails_fails_alone(whisper: Path, cache: ModelCache) -> None:
    class Broken(Waveform):
        def mono(self) -> Any:
            raise ValueError("no channel")

    good, bad = phrase("english-two"), Broken(samples=np.zeros((1, 16), np.int16))
    answers = dict(engine(whisper, cache).transcribe(jobs(good, bad, good)))
    assert isinstance(answers["1"], EngineError)
    assert "no channel" in str(answers["1"])
    assert isinstance(answers["0"], Transcript)
    assert answers["0"] == answers["2"]


def test_a_clip_without_features_fails_alone(whisper: Path) -> None:
    good, bad = phrase("english-two"), phrase("english-three")
    (clip,) = clip_spans(bad.mono(), LONGEST_MS)
    model = faster_whisper(whisper)
    extractor = model.feature_extractor

    class Failing:
        def __getattr__(self, name: str) -> Any:
            return getattr(extractor, name)

        def __call__(self, samples: npt.NDArray[np.float32], **options: Any) -> Any:
            if len(samples) == clip.duration_ms * 16:
                raise ValueError("no spectrogram")
            return extractor(samples, **options)

    model.feature_extractor = Failing()
    transcriber, cache = with_standing_in(whisper, model)
    request = PLAIN.model_copy(update={"language": "en"})
    with closing(cache):
        answers = dict(transcriber.transcribe(jobs(good, bad, good, request=request)))
    assert isinstance(answers["0"], Transcript)
    assert answers["0"] == answers["2"]
    assert isinstance(answers["1"], EngineError)
