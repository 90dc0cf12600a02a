"""The result of one recording as the service answers it.

    {"tra": {"text", "language", "segments", "gaps",
             "chunks": [{"alternatives": [{"words": [{"start", "end", "word", "confidence"}]}], "channelTag"}]},
     "dia": {"speakers", "turns": [{"start", "end", "speaker"}]},
     "emo": {"level", "items",
             "segments": [{"start", "end", "emotional": {"angry", "sad", "neutral", "positive"}, "word", "speaker"}]}}

It has all fields of formats/json.py, plus `chunks` and `segments` of emotions in the form of the service that this
pipeline replaces: words with their leading blanks, channels by numbers from 1, and the
speakers of a stereo recording as "L0" and "R0". A part that was not asked for is null. As text, `tra` is
{"start", "end", "text"}.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sensory_pipeline.core.diarization import label
from sensory_pipeline.core.emotions import LABELS, Emotions
from sensory_pipeline.core.formats import json
from sensory_pipeline.core.process_request import EmotionLevel, ProcessRequest
from sensory_pipeline.core.results import RecordingResult
from sensory_pipeline.core.transcripts import Segment, Transcript

SIDES = {label(0): "L0", label(1): "R0"}
"""The speakers of a stereo recording."""


def document(
    result: RecordingResult, request: ProcessRequest, *, as_text: bool = False, with_words: bool = True
) -> dict[str, Any]:
    """The result as a JSON value.

    Args:
        result: What was found.
        request: What was asked for.
        as_text: Whether the transcript is one text.
        with_words: Whether segments have their words, if not as text.
    """
    value = json.document(result, request.tasks)
    if "tra" in value and result.reported_transcript is not None:
        if as_text:
            value["tra"] = {"start": 0.0, "end": result.audio.duration_ms / 1000, "text": value["tra"]["text"]}
        else:
            value["tra"]["chunks"] = _chunks(result.reported_transcript, with_words=with_words)
            for segment in () if with_words else value["tra"]["segments"]:
                segment["words"] = []
    if "emo" in value and result.emotions is not None:
        value["emo"]["segments"] = list(_segments(result.emotions, result))
    if request.stereo:
        _name_sides(value)
    return value if as_text else {part: value.get(part) for part in ("tra", "dia", "emo")}


def _chunks(transcript: Transcript, *, with_words: bool) -> list[dict[str, Any]]:
    return [
        {
            "alternatives": [{"words": list(_words(segment)) if with_words else []}],
            "channelTag": str((segment.words[0].channel or 0) + 1) if segment.words else "1",
        }
        for segment in transcript.segments
        if segment.text
    ]


def _words(segment: Segment) -> Iterator[dict[str, Any]]:
    for word in segment.words:
        blank = "" if word.space_before is False else " "
        yield {
            "start": word.span.start_s,
            "end": word.span.end_s,
            "word": f"{blank}{word.text}",
            "confidence": round(word.probability, 4),
        }


def _segments(emotions: Emotions, result: RecordingResult) -> Iterator[dict[str, Any]]:
    said = iter(word for utterance in result.utterances for word in utterance.words)
    for item in emotions.items:
        segment: dict[str, Any] = {
            "start": item.window.span.start_s,
            "end": item.window.span.end_s,
            "emotional": {name: round(getattr(item.scores, name), 4) for name in LABELS},
        }
        if emotions.level is EmotionLevel.WORD:
            word = next(said).word
            segment |= {"word": word.text, "confidence": round(word.probability, 4)}
        elif item.window.speaker is not None:
            segment["speaker"] = item.window.speaker
        yield segment


def _name_sides(value: dict[str, Any]) -> None:
    tra, dia, emo = (value.get(part) or {} for part in ("tra", "dia", "emo"))
    words = [word for segment in tra.get("segments", ()) for word in segment["words"]]
    for named in (*words, *dia.get("turns", ()), *emo.get("segments", ())):
        if named.get("speaker"):
            named["speaker"] = SIDES.get(named["speaker"], named["speaker"])
    if dia:
        dia["speakers"] = [SIDES.get(speaker, speaker) for speaker in dia["speakers"]]
