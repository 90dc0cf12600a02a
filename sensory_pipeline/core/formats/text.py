"""Plain text of one recording's result, for reading.

    [00:01.20 - 00:03.45] SPEAKER_00 (neutral): so when does it leave
    [00:03.45 - 00:09.10] (could not be transcribed)

Without a transcript, one line for each turn, or one for each emotion. Speakers are named only if they were asked for.
"""

from __future__ import annotations

from sensory_pipeline.core.process_request import Task
from sensory_pipeline.core.results import RecordingResult
from sensory_pipeline.core.spans import Span


def render(result: RecordingResult, tasks: frozenset[Task]) -> str:
    """One line for each utterance and gap, turn or emotion; empty when nothing was said."""
    if Task.TRANSCRIBE in tasks:
        lines = _utterances(result, tasks)
    elif Task.DIARIZATION in tasks and result.diarization is not None:
        lines = [f"{_clock(turn.span)} {turn.speaker}" for turn in result.diarization.turns]
    else:
        items = result.emotions.items if result.emotions else ()
        lines = [f"{_clock(item.window.span)} {item.scores.label}" for item in items]
    return "\n".join(lines)


def _utterances(result: RecordingResult, tasks: frozenset[Task]) -> list[str]:
    emotions = result.emotions.utterances if result.emotions and Task.EMOTION in tasks else ()
    labels = [f"({emotion.scores.label})" for emotion in emotions] or [""] * len(result.utterances)
    lines = [(gap, f"{_clock(gap)} (could not be transcribed)") for gap in result.gaps]
    for said, label in zip(result.utterances, labels, strict=True):
        speaker = (said.speaker or "unknown") if Task.DIARIZATION in tasks else ""
        lines.append((said.span, line(said.span, said.text, speaker, label)))
    return [text for _, text in sorted(lines, key=lambda item: item[0].start_ms)]


def line(span: Span, text: str, *who_and_how: str) -> str:
    """One line for what somebody said.

    Args:
        span: When.
        text: What.
        *who_and_how: The speaker and the emotion; empty if unknown.
    """
    known = " ".join(filter(None, who_and_how))
    return f"{_clock(span)} {known}: {text}" if known else f"{_clock(span)} {text}"


def _clock(span: Span) -> str:
    """Minutes and seconds, rounded before they are split.

    >>> _clock(Span(start_ms=1204, end_ms=59_999))
    '[00:01.20 - 01:00.00]'
    """
    start, end = (round(ms / 10) for ms in (span.start_ms, span.end_ms))
    return f"[{_minutes(start)} - {_minutes(end)}]"


def _minutes(hundredths: int) -> str:
    return f"{hundredths // 6000:02d}:{hundredths % 6000 / 100:05.2f}"
