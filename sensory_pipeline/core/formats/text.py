"""Plain text of one recording's result, for reading.

    [00:01.20 - 00:03.45] SPEAKER_00 (neutral): so when does it leave

Without a transcript, one line a turn, or one line an emotion.
"""

from __future__ import annotations

from sensory_pipeline.core.requests import Task
from sensory_pipeline.core.results import RecordingResult
from sensory_pipeline.core.spans import Span


def render(result: RecordingResult, tasks: frozenset[Task]) -> str:
    """One line for each utterance, turn or emotion; empty when nothing was said."""
    if Task.TRANSCRIBE in tasks:
        emotions = result.emotions.utterances if result.emotions and Task.EMOTION in tasks else ()
        labels = [f" ({emotion.scores.label})" for emotion in emotions]
        lines = [
            f"{_clock(said.span)} {said.speaker or 'unknown'}{label}: {said.text}"
            for said, label in zip(result.utterances, labels or [""] * len(result.utterances), strict=True)
        ]
    elif Task.DIARIZATION in tasks and result.diarization is not None:
        lines = [f"{_clock(turn.span)} {turn.speaker}" for turn in result.diarization.turns]
    else:
        items = result.emotions.items if result.emotions else ()
        lines = [f"{_clock(item.window.span)} {item.scores.label}" for item in items]
    return "\n".join(lines)


def _clock(span: Span) -> str:
    start, end = (f"{ms // 60_000:02d}:{ms % 60_000 / 1000:05.2f}" for ms in (span.start_ms, span.end_ms))
    return f"[{start} - {end}]"
