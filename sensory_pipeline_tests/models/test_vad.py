"""Voice activity: the model is run as its makers run it, and spans are those of the library."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from faster_whisper.vad import get_speech_timestamps, get_vad_model  # noqa: TID253

from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.core.arrays import Floats
from sensory_pipeline.engines import vad
from sensory_pipeline_tests.engine_contract import SPEECH

SAMPLES = decode(SPEECH, max_duration_s=60).pcm.mono()
END_MS = len(SAMPLES) * 1000 // 16_000


def normalised(samples: Floats) -> Floats:
    return vad.normalised(samples, vad.normalisation(samples))


def test_probabilities_are_those_of_the_library_itself() -> None:
    padded = np.pad(normalised(SAMPLES), (0, -len(SAMPLES) % 512))
    assert vad.speech_probabilities(SAMPLES) == pytest.approx(get_vad_model()(padded).reshape(-1), abs=1e-5)


def test_spans_are_those_of_the_library_itself() -> None:
    theirs = get_speech_timestamps(
        normalised(SAMPLES),
        threshold=0.4,
        min_silence_duration_ms=300,
        min_speech_duration_ms=150,
        speech_pad_ms=100,
    )
    ours = [(span.start_ms, span.end_ms) for span in vad.speech_spans(SAMPLES)]
    assert ours == [(round(span["start"] / 16), round(span["end"] / 16)) for span in theirs]
    assert len(ours) > 1


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = vad.speech_probabilities(SAMPLES)
    monkeypatch.setattr(vad, "_BLOCK", 7)
    assert vad.speech_probabilities(SAMPLES) == pytest.approx(whole, abs=1e-5)


@pytest.mark.parametrize("pad_ms", [1, 100, 200, 1000])
def test_padding_stops_in_the_middle_of_a_silence(pad_ms: int) -> None:
    bare, padded = (vad.speech_spans(SAMPLES, pad_ms=pad) for pad in (0, pad_ms))
    assert all(before.gap_ms(after) >= vad.LEAST_SILENCE_MS for before, after in pairwise(bare))
    assert all(span.duration_ms >= vad.LEAST_SPEECH_MS for span in bare)
    assert len(padded) == len(bare)
    for inner, outer in zip(bare, padded, strict=True):
        assert 0 <= outer.start_ms <= inner.start_ms <= inner.end_ms <= outer.end_ms <= END_MS
        assert max(inner.start_ms - outer.start_ms, outer.end_ms - inner.end_ms) <= pad_ms
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(padded))


@pytest.mark.parametrize("frames", [0, 1, 160, 511, 512, 513, 40_000])
def test_silence_has_no_speech(frames: int) -> None:
    assert vad.speech_spans(np.zeros(frames, np.float32)) == ()
    assert len(vad.speech_probabilities(np.zeros(frames, np.float32))) == -(-frames // 512)


def test_an_offset_changes_nothing() -> None:
    plain, shifted = vad.speech_spans(SAMPLES), vad.speech_spans(SAMPLES + np.float32(0.4))
    assert len(plain) == len(shifted)
    assert all(abs(a.start_ms - b.start_ms) <= 32 for a, b in zip(plain, shifted, strict=True))


def test_loud_passages_get_the_same_level() -> None:
    for factor in (0.02, 1.0, 3.0):
        levels = np.sqrt(np.square(normalised(SAMPLES * np.float32(factor)).reshape(-1, 1600)).mean(axis=1))
        assert np.percentile(levels, 95) == pytest.approx(0.1, rel=0.02)
