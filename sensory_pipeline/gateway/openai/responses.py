"""Converts a result to the formats and events of OpenAI's API."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from starlette.responses import JSONResponse, PlainTextResponse, Response

from sensory_pipeline.core.formats import subtitles
from sensory_pipeline.core.languages import NAMES
from sensory_pipeline.core.results import RecordingResult
from sensory_pipeline.core.sentences import sentences
from sensory_pipeline.core.transcripts import Segment, Transcript
from sensory_pipeline.gateway.openai.formats import (
    Delta,
    DiarizedSegment,
    DiarizedTranscription,
    Done,
    Transcription,
    Usage,
    VerboseSegment,
    VerboseTranscription,
    Word,
)
from sensory_pipeline.gateway.openai.requests import Asked


def response(result: RecordingResult, asked: Asked) -> Response:
    """The result in the requested format."""
    match asked.response_format:
        case "text":
            return PlainTextResponse(f"{_transcript(result).text}\n")
        case "srt":
            return PlainTextResponse(subtitles.srt(_transcript(result)))
        case "vtt":
            return Response(subtitles.vtt(_transcript(result)), media_type="text/vtt")
        case "verbose_json":
            value: BaseModel = _verbose(result, asked)
        case "diarized_json":
            value = _diarized(result)
        case _:
            value = Transcription(text=_transcript(result).text, usage=_usage(result))
    return JSONResponse(value.model_dump(exclude_none=True))


def events(result: RecordingResult, asked: Asked) -> Iterator[bytes]:
    """The result as server-sent events: parts of the text, or segments with speakers; then the whole text."""
    transcript = _transcript(result)
    if asked.response_format == "diarized_json":
        for segment in _diarized(result).segments:
            yield event(segment.model_dump())
    else:
        for delta in _deltas(transcript):
            yield event(Delta(delta=delta).model_dump())
    yield event(Done(text=transcript.text, usage=_usage(result)).model_dump())


def event(data: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def _transcript(result: RecordingResult) -> Transcript:
    transcript = result.reported_transcript
    assert transcript is not None  # every request has the task
    return transcript


def _deltas(transcript: Transcript) -> Iterator[str]:
    """The text in parts, one per segment. Joined, they are the whole text."""
    text, told = transcript.text, 0
    for segment in transcript.segments:
        if segment.text:
            end = text.index(segment.text, told) + len(segment.text)
            yield text[told:end]
            told = end


def _verbose(result: RecordingResult, asked: Asked) -> VerboseTranscription:
    transcript = _transcript(result)
    spoken = [segment for segment in transcript.segments if segment.text]
    words = [Word(word=word.text, start=word.span.start_s, end=word.span.end_s) for word in transcript.words]
    return VerboseTranscription(
        task=asked.task,
        language=NAMES.get(transcript.language or "", "").lower(),
        duration=result.audio.duration_ms / 1000,
        text=transcript.text,
        segments=[_segment(*item) for item in enumerate(spoken)] if "segment" in asked.granularities else None,
        words=words if "word" in asked.granularities else None,
        usage=_usage(result),
    )


def _segment(number: int, segment: Segment) -> VerboseSegment:
    logprobs = [math.log(max(word.probability, 1e-6)) for word in segment.words]
    encoded = segment.text.encode()
    return VerboseSegment(
        id=number,
        seek=segment.span.start_ms // 10,
        start=segment.span.start_s,
        end=segment.span.end_s,
        text=segment.text,
        avg_logprob=round(sum(logprobs) / len(logprobs), 4) if logprobs else 0,
        compression_ratio=round(len(encoded) / len(zlib.compress(encoded)), 4),
    )


def _diarized(result: RecordingResult) -> DiarizedTranscription:
    said = [sentence for utterance in result.utterances for sentence in sentences(utterance)]
    names: dict[str, str] = {}
    for sentence in said:
        if sentence.speaker is not None:
            names.setdefault(sentence.speaker, _letters(len(names)))
    return DiarizedTranscription(
        duration=result.audio.duration_ms / 1000,
        text=_transcript(result).text,
        segments=[
            DiarizedSegment(
                id=f"seg_{number}",
                start=sentence.span.start_s,
                end=sentence.span.end_s,
                text=sentence.text,
                speaker=names.get(sentence.speaker or "", "unknown"),
            )
            for number, sentence in enumerate(said)
        ],
        usage=_usage(result),
    )


def _letters(number: int) -> str:
    """The name of a speaker by number, like the columns of a spreadsheet.

    >>> [_letters(number) for number in (0, 25, 26)]
    ['A', 'Z', 'AA']
    """
    last = chr(ord("A") + number % 26)
    return last if number < 26 else _letters(number // 26 - 1) + last


def _usage(result: RecordingResult) -> Usage:
    return Usage(seconds=math.ceil(result.audio.duration_ms / 1000))
