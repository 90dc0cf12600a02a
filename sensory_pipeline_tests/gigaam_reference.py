"""The reference's answers to recordings, and jobs for GigaAM-Emo."""

from __future__ import annotations

import json
import wave
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.emotions import LABELS, Emotion, EmotionWindow
from sensory_pipeline.core.spans import Span
from sensory_pipeline.engines.base import ClassifyJob
from sensory_pipeline.engines.emotion.gigaam import GigaamClassifier
from sensory_pipeline_tests import places

DATA = places.DATA / "gigaam"
CHECKPOINT = DATA / "emo.ckpt"
EXPECTED: dict[str, Any] = json.loads((DATA / "expected.json").read_text())
RECORDINGS = tuple(EXPECTED)


def recording(name: str) -> Waveform:
    with wave.open(str(DATA / f"{name}.wav")) as file:
        return Waveform(samples=np.frombuffer(file.readframes(file.getnframes()), "<i2")[None])


def spoken(*spans: tuple[int, int]) -> Waveform:
    """Parts of a recording, in ms, one after the other."""
    pcm = recording("jfk16")
    parts = [pcm.cut(Span(start_ms=start, end_ms=end)).samples for start, end in spans]
    return Waveform(samples=np.concatenate(parts, axis=1))


def window(turn: Span, start_ms: int | None = None, end_ms: int | None = None) -> EmotionWindow:
    """Part of a turn; all of it where no limits are given."""
    start_ms = turn.start_ms if start_ms is None else start_ms
    end_ms = turn.end_ms if end_ms is None else end_ms
    return EmotionWindow(span=Span(start_ms=start_ms, end_ms=end_ms), turn=turn, speaker=None)


def job(pcm: Waveform, *windows: EmotionWindow, key: str = "a", language: str | None = "ru") -> ClassifyJob:
    return ClassifyJob(key=key, pcm=pcm, windows=windows or (window(pcm.span),), language=language)


def answers(engine: GigaamClassifier, jobs: Iterable[ClassifyJob]) -> dict[str, tuple[Emotion, ...]]:
    answered = dict(engine.classify(jobs))
    emotions = {key: value for key, value in answered.items() if isinstance(value, tuple)}
    assert emotions == answered
    return emotions


def probabilities(emotions: Iterable[Emotion]) -> npt.NDArray[np.float64]:
    return np.array([[getattr(emotion.scores, label) for label in LABELS] for emotion in emotions])


def softmax(logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    odds = np.exp(logits.astype(np.float64))
    return np.asarray(odds / odds.sum(axis=-1, keepdims=True))
