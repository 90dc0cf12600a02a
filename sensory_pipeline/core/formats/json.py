"""JSON of one recording's result, as the service this pipeline replaces gave it.

    {"tra": {"text", "language", "segments": [{"start", "end", "text",
             "words": [{"start", "end", "word", "probability", "speaker", "doubtful"}]}],
             "gaps": [{"start", "end"}]},
     "dia": {"speakers", "turns": [{"start", "end", "speaker"}]},
     "emo": {"level", "items": [{"start", "end", "label", "scores": {"angry", "sad", "neutral", "positive"}}]}}

A part that was not asked for is left out, and so are the gaps, speech that could not be transcribed,
where there are none. A word that nobody said, in all likelihood, has "doubtful": true; other words have no such key.
Times are seconds from the start of the recording.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.emotions import LABELS, Emotions
from sensory_pipeline.core.process_request import Task
from sensory_pipeline.core.results import RecordingResult
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.core.utterances import AttributedWord


def render(result: RecordingResult, tasks: frozenset[Task]) -> str:
    """The document, indented by two spaces, without a line break at the end."""
    return json.dumps(document(result, tasks), ensure_ascii=False, indent=2)


def document(result: RecordingResult, tasks: frozenset[Task]) -> dict[str, Any]:
    """The same as a JSON value."""
    value: dict[str, Any] = {}
    if Task.TRANSCRIBE in tasks and result.reported_transcript is not None:
        words = iter(word for utterance in result.utterances for word in utterance.words)
        value["tra"] = _transcript(result.reported_transcript, words, result.gaps)
    if Task.DIARIZATION in tasks and result.diarization is not None:
        value["dia"] = _diarization(result.diarization)
    if Task.EMOTION in tasks and result.emotions is not None:
        value["emo"] = _emotions(result.emotions)
    return value


def _transcript(transcript: Transcript, words: Iterator[AttributedWord], gaps: Sequence[Span]) -> dict[str, Any]:
    return {
        "text": transcript.text,
        "language": transcript.language,
        "segments": [
            {
                **_times(segment.span),
                "text": segment.text,
                "words": [_word(next(words)) for _ in segment.words],
            }
            for segment in transcript.segments
            if segment.text
        ],
        **({"gaps": [_times(gap) for gap in gaps]} if gaps else {}),
    }


def _word(attributed: AttributedWord) -> dict[str, Any]:
    return {
        **_times(attributed.word.span),
        "word": attributed.word.text,
        "probability": round(attributed.word.probability, 4),
        "speaker": attributed.speaker,
        **({"doubtful": True} if attributed.doubtful else {}),
    }


def _diarization(diarization: Diarization) -> dict[str, Any]:
    return {
        "speakers": list(diarization.speakers),
        "turns": [{**_times(turn.span), "speaker": turn.speaker} for turn in diarization.turns],
    }


def _emotions(emotions: Emotions) -> dict[str, Any]:
    return {
        "level": emotions.level.value,
        "items": [
            {
                **_times(item.window.span),
                "label": item.scores.label,
                "scores": {label: round(getattr(item.scores, label), 4) for label in LABELS},
            }
            for item in emotions.items
        ],
    }


def _times(span: Span) -> dict[str, float]:
    return {"start": span.start_s, "end": span.end_s}
