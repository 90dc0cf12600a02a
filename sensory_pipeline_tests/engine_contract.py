"""The contract of every engine, called by the tests of each.

An engine passes when, on sound of any kind, each job gets one valid answer that depends on nothing
but the job.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.diarization import Diarization, label
from sensory_pipeline.core.emotions import Emotion, EmotionWindow
from sensory_pipeline.core.errors import Terminal
from sensory_pipeline.core.process_request import DiarizationSettings, TranscriptionSettings
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.engines.base import (
    ClassifyJob,
    DiarizeJob,
    Diarizer,
    EmotionClassifier,
    EngineInfo,
    TranscribeJob,
    Transcriber,
)

T = TypeVar("T")
SPEECH = Path(__file__).parent / "data" / "jfk.flac"


def sounds() -> dict[str, Waveform]:
    """Sound that engines meet sooner or later, by name."""
    noise = np.random.default_rng(0)
    speech = decode(SPEECH, max_duration_s=60).pcm.cut(Span(start_ms=0, end_ms=4000))
    return {
        "speech": speech,
        "stereo": Waveform(samples=np.concatenate([speech.samples, speech.samples // 2])),
        "silence": Waveform(samples=np.zeros((1, 24_000), np.int16)),
        "noise": Waveform(samples=noise.integers(-32768, 32767, (1, 24_000)).astype(np.int16)),
        "offset": Waveform(samples=np.full((1, 24_000), 12_000, np.int16)),
        "10 ms": Waveform(samples=noise.integers(-900, 900, (1, 160)).astype(np.int16)),
        "nothing": Waveform(samples=np.zeros((1, 0), np.int16)),
    }


def check_transcriber(engine: Transcriber) -> dict[str, Transcript | Terminal]:
    """Return the answers by name of sound, for further checks."""
    info = _checked(engine.info)
    nothing_drawn = TranscriptionSettings(temperatures=(0.0,))
    jobs = [TranscribeJob(key=k, pcm=pcm, settings=nothing_drawn) for k, pcm in sounds().items()]
    answers = _answered(engine.transcribe(iter(jobs)), jobs)
    for job in jobs:
        found = answers[job.key]
        if not isinstance(found, Transcript):
            continue
        assert (found.language is None) == (not found.words)
        for segment in found.segments:
            _inside(segment.span, job.pcm)
            for word in segment.words:
                _inside(word.span, job.pcm)
                assert segment.span.start_ms <= word.span.start_ms
                assert word.span.end_ms <= segment.span.end_ms
                assert word.text == word.text.strip() != ""
                assert 0 <= word.probability <= 1
        starts = [word.span.start_ms for word in found.words]
        assert starts == sorted(starts)
    assert _of(answers, "silence", Transcript).words == ()
    again = _answered(engine.transcribe(iter(jobs[::-1])), jobs)
    _same(again, answers)
    _check_laziness(engine.transcribe, jobs)
    assert engine.info == info, "what the engine is changes by working"
    return answers


def check_diarizer(engine: Diarizer) -> dict[str, Diarization | Terminal]:
    """Returns the answers by name of sound."""
    info = _checked(engine.info)
    jobs = [DiarizeJob(key=k, pcm=pcm, settings=DiarizationSettings()) for k, pcm in sounds().items()]
    answers = _answered(engine.diarize(iter(jobs)), jobs)
    for job in jobs:
        found = answers[job.key]
        if not isinstance(found, Diarization):
            continue
        for turn in (*found.turns, *found.exclusive):
            _inside(turn.span, job.pcm)
        for turns in (found.turns, found.exclusive):
            assert [t.span.start_ms for t in turns] == sorted(t.span.start_ms for t in turns)
        assert all(a.span.end_ms <= b.span.start_ms for a, b in pairwise(found.exclusive))
        appearing = list(dict.fromkeys(turn.speaker for turn in found.turns))
        assert appearing == [label(index) for index in range(len(appearing))]
    again = _answered(engine.diarize(iter(jobs[::-1])), jobs)
    _same(again, answers)
    alone = replace(jobs[0], settings=DiarizationSettings(speakers=1))
    (one,) = _answered(engine.diarize([alone]), [alone]).values()
    assert not isinstance(one, Terminal)
    assert len(one.speakers) <= 1
    _check_laziness(engine.diarize, jobs)
    assert engine.info == info, "what the engine is changes by working"
    return answers


def check_classifier(engine: EmotionClassifier) -> dict[str, tuple[Emotion, ...] | Terminal]:
    """Returns the answers by name of sound."""
    info = _checked(engine.info)
    jobs = [
        ClassifyJob(key=k, pcm=pcm, windows=_windows(pcm) if k != "offset" else (), language="en")
        for k, pcm in sounds().items()
    ]
    answers = _answered(engine.classify(iter(jobs)), jobs)
    for job in jobs:
        found = answers[job.key]
        if isinstance(found, Terminal):
            continue
        assert tuple(emotion.window for emotion in found) == job.windows
        for emotion in found:
            assert sum(_four(emotion)) == pytest.approx(1, abs=1e-5)
            assert min(_four(emotion)) >= 0
            assert 0 <= emotion.voiced_ms <= max(emotion.window.span.duration_ms, 1)
    again = _answered(engine.classify(iter(jobs[::-1])), jobs)
    for name, before in answers.items():
        now = again[name]
        if isinstance(before, Terminal) or isinstance(now, Terminal):
            assert repr(now) == repr(before)
            continue
        for one, other in zip(now, before, strict=True):
            assert _four(one) == pytest.approx(_four(other), abs=1e-4), "the answer depends on what was heard before"
            assert (one.voiced_ms, one.caveat) == (other.voiced_ms, other.caveat)
    _check_laziness(engine.classify, jobs)
    assert engine.info == info, "what the engine is changes by working"
    return answers


def _four(emotion: Emotion) -> tuple[float, float, float, float]:
    scores = emotion.scores
    return scores.angry, scores.sad, scores.neutral, scores.positive


def _windows(pcm: Waveform) -> tuple[EmotionWindow, ...]:
    whole = pcm.span
    half = Span(start_ms=0, end_ms=whole.end_ms // 2)
    return (
        EmotionWindow(span=whole, turn=whole, speaker="SPEAKER_00"),
        EmotionWindow(span=half, turn=whole, speaker="SPEAKER_00"),
        EmotionWindow(span=Span(start_ms=0, end_ms=0), turn=half, speaker=None),
    )


def _answered(
    answers: Iterator[tuple[str, T | Terminal]], jobs: Iterable[TranscribeJob | DiarizeJob | ClassifyJob]
) -> dict[str, T | Terminal]:
    found = list(answers)
    assert sorted(key for key, _ in found) == sorted(job.key for job in jobs), "one answer a job"
    return dict(found)


def _same(again: dict[str, T | Terminal], before: dict[str, T | Terminal]) -> None:
    for name, answer in before.items():
        assert repr(again[name]) == repr(answer), "the answer depends on what was heard before"


def _of(answers: dict[str, T | Terminal], name: str, kind: type) -> T:
    answer = answers[name]
    assert isinstance(answer, kind)
    return answer  # type: ignore[return-value]


def _inside(span: Span, pcm: Waveform) -> None:
    assert span.end_ms <= pcm.duration_ms


def _checked(info: EngineInfo) -> EngineInfo:
    assert all((info.engine, info.model, info.revision, info.device))
    assert info.algorithm >= 1
    return info


def _check_laziness(run, jobs) -> None:  # type: ignore[no-untyped-def]  # one for both Protocols
    """An engine does not take in a whole night before its first answer."""
    taken = 0

    def endless():  # type: ignore[no-untyped-def]
        nonlocal taken
        while True:
            taken += 1
            yield replace(next(job for job in jobs if job.key == "10 ms"), key=str(taken))

    stream = run(endless())  # type: ignore[no-untyped-call]
    next(stream)
    assert taken <= 100
    stream.close()
