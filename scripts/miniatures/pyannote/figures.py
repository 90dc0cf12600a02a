"""What the miniature pipeline can do, measured with pyannote.audio itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch  # noqa: TID253 - training code
from pyannote.audio import Pipeline  # noqa: TID253

from bench.der import diarization_errors
from scripts.miniatures.conversations import Truth, make_conversation
from scripts.miniatures.speech import Samples
from sensory_pipeline.audio.waveform import SAMPLE_RATE
from sensory_pipeline.core.diarization import Turn
from sensory_pipeline.core.spans import Span

COLLAR_MS = 250
SPEAKERS = (2, 2, 2, 2, 3, 3, 3, 3)
"""Of each conversation."""
TURNS = 12

Conversation = tuple[Samples, Truth]


def conversations(seed: int) -> list[Conversation]:
    """Return new conversations of voices heard in training."""
    return [
        make_conversation(seed + index, language="ru" if index % 4 == 3 else "en", speakers=count, turns=TURNS)
        for index, count in enumerate(SPEAKERS)
    ]


def measure(pipeline: Pipeline, spoken: list[Conversation]) -> dict[str, float]:
    """Return diarization error rates, and how often the number of speakers is right."""
    figures: dict[str, float] = {}
    found = [diarize(pipeline, samples) for samples, _ in spoken]
    for name, collar_ms in (("der", 0), ("der with a collar of 0.25 s", COLLAR_MS)):
        errors = [
            diarization_errors(_turns(truth), turns, collar_ms=collar_ms)
            for (_, truth), turns in zip(spoken, found, strict=True)
        ]
        figures[name] = sum(each.errors_ms for each in errors) / sum(each.speech_ms for each in errors)
    counts = [
        len({turn.speaker for turn in turns}) == len(truth.speakers)
        for (_, truth), turns in zip(spoken, found, strict=True)
    ]
    figures["speaker counts right"] = sum(counts) / len(counts)
    return {name: round(value, 3) for name, value in figures.items()}


def load(folder: Path) -> Pipeline:
    """Load the pipeline from the local folder only."""
    pipeline = Pipeline.from_pretrained(str(folder))
    assert pipeline is not None
    return pipeline


def diarize(pipeline: Pipeline, samples: Samples) -> list[Turn]:
    """Return the turns that the pipeline finds."""
    answer: Any = pipeline({"waveform": torch.tensor(samples)[None], "sample_rate": SAMPLE_RATE})
    tracks = answer.speaker_diarization.itertracks(yield_label=True)
    return [Turn(span=Span.from_seconds(span.start, span.end), speaker=name) for span, _, name in tracks]


def _turns(truth: Truth) -> list[Turn]:
    return [Turn(span=Span.from_seconds(turn.start_s, turn.end_s), speaker=turn.speaker) for turn in truth.turns]
