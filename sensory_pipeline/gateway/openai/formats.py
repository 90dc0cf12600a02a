"""Formats of OpenAI's API, and its events, as its clients read them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

_TEXT = "It is four o'clock."
_USAGE: dict[str, Any] = {"type": "duration", "seconds": 3}


def _example(**value: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"example": {**value, "usage": _USAGE}})


class Usage(BaseModel):
    """seconds: of the recording, begun ones counted as whole."""

    type: Literal["duration"] = "duration"
    seconds: int


class Transcription(BaseModel):
    """`json`."""

    model_config = _example(text=_TEXT)

    text: str
    usage: Usage


class Word(BaseModel):
    """word: as written, with its punctuation; start, end: seconds."""

    word: str
    start: float
    end: float


class VerboseSegment(BaseModel):
    """A phrase.

    avg_logprob: mean over its words; compression_ratio: as zlib compresses the text. The service does not keep tokens,
    the temperature that gave the text and the probability of silence: they are always [], 0 and 0.
    """

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int] = []
    temperature: float = 0
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float = 0


class VerboseTranscription(BaseModel):
    """`verbose_json`. language: its English name, empty when nothing was said; duration: seconds."""

    model_config = _example(
        task="transcribe",
        language="english",
        duration=2.4,
        text=_TEXT,
        segments=[
            {
                **{"id": 0, "seek": 50, "start": 0.5, "end": 1.7, "text": _TEXT, "tokens": [], "temperature": 0},
                **{"avg_logprob": -0.21, "compression_ratio": 0.7, "no_speech_prob": 0},
            }
        ],
    )

    task: Literal["transcribe", "translate"]
    language: str
    duration: float
    text: str
    segments: list[VerboseSegment] | None = None
    words: list[Word] | None = None
    usage: Usage


class DiarizedSegment(BaseModel):
    """What one speaker said, at most a sentence. speaker: A, B, ... in order of appearance, or unknown."""

    type: Literal["transcript.text.segment"] = "transcript.text.segment"
    id: str
    start: float
    end: float
    text: str
    speaker: str


class DiarizedTranscription(BaseModel):
    """`diarized_json`. duration: seconds."""

    model_config = _example(
        task="transcribe",
        duration=2.4,
        text=_TEXT,
        segments=[
            {"type": "transcript.text.segment", "id": "seg_0", "start": 0.5, "end": 1.7, "text": _TEXT, "speaker": "A"}
        ],
    )

    task: Literal["transcribe"] = "transcribe"
    duration: float
    text: str
    segments: list[DiarizedSegment]
    usage: Usage


class Delta(BaseModel):
    """An event: what is new in the text."""

    type: Literal["transcript.text.delta"] = "transcript.text.delta"
    delta: str


class Done(BaseModel):
    """The last event: all of the text."""

    type: Literal["transcript.text.done"] = "transcript.text.done"
    text: str
    usage: Usage
