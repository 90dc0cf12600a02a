"""Response formats and events of OpenAI's API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_TEXT = "It is four o'clock."
_USAGE: dict[str, Any] = {"type": "duration", "seconds": 3}
_Start = Annotated[float, Field(description="Start in seconds.")]
_End = Annotated[float, Field(description="End in seconds.")]
_Duration = Annotated[float, Field(description="Length of the recording in seconds.")]


def _example(**value: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"example": {**value, "usage": _USAGE}})


class Usage(BaseModel):
    """Length of the recording in seconds, rounded up."""

    type: Literal["duration"] = "duration"
    seconds: int


class Transcription(BaseModel):
    """The format `json`."""

    model_config = _example(text=_TEXT)

    text: str
    usage: Usage


class Word(BaseModel):
    """A word."""

    word: str = Field(description="The word with its punctuation.")
    start: _Start
    end: _End


class VerboseSegment(BaseModel):
    """A segment of `verbose_json`. The service does not store tokens, temperatures and probabilities of silence."""

    id: int = Field(description="Number of the segment, from 0.")
    seek: int = Field(description="Start in hundredths of a second.")
    start: _Start
    end: _End
    text: str
    tokens: list[int] = Field([], description="Always empty.")
    temperature: float = Field(0, description="Always 0.")
    avg_logprob: float = Field(description="Mean log probability of the words.")
    compression_ratio: float = Field(description="Bytes of the text, divided by their number after zlib.")
    no_speech_prob: float = Field(0, description="Always 0.")


class VerboseTranscription(BaseModel):
    """The format `verbose_json`."""

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
    language: str = Field(description="English name of the language, in lower case; empty without speech.")
    duration: _Duration
    text: str
    segments: list[VerboseSegment] | None = None
    words: list[Word] | None = None
    usage: Usage


class DiarizedSegment(BaseModel):
    """A sentence, or part of one, by one speaker."""

    type: Literal["transcript.text.segment"] = "transcript.text.segment"
    id: str
    start: _Start
    end: _End
    text: str
    speaker: str = Field(description="A, B, ... in order of appearance, or unknown.")


class DiarizedTranscription(BaseModel):
    """The format `diarized_json`."""

    model_config = _example(
        task="transcribe",
        duration=2.4,
        text=_TEXT,
        segments=[
            {"type": "transcript.text.segment", "id": "seg_0", "start": 0.5, "end": 1.7, "text": _TEXT, "speaker": "A"}
        ],
    )

    task: Literal["transcribe"] = "transcribe"
    duration: _Duration
    text: str
    segments: list[DiarizedSegment]
    usage: Usage


class Delta(BaseModel):
    """An event with the next part of the text."""

    type: Literal["transcript.text.delta"] = "transcript.text.delta"
    delta: str


class Done(BaseModel):
    """The last event, with the whole text."""

    type: Literal["transcript.text.done"] = "transcript.text.done"
    text: str
    usage: Usage
