"""What can be asked of the pipeline; the same words on the command line, in settings and over HTTP."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Task(StrEnum):
    """What to find out about a recording."""

    TRANSCRIBE = "transcribe"
    DIARIZATION = "diarization"
    EMOTION = "emotion"


class EmotionLevel(StrEnum):
    """What a row of `emotions` stands for."""

    WORD = "word"
    SENTENCE = "sentence"
    FILE = "file"


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TranscriptionSettings(_Settings):
    """How to transcribe."""

    language: str = Field(
        "auto", description="ISO 639-1 code of the language spoken, or 'auto' to detect it."
    )
    beam_size: int = Field(
        5, ge=1, le=20, description="Hypotheses kept while decoding; more is slower and surer."
    )


class DiarizationSettings(_Settings):
    """How many speakers to expect; None where unknown."""

    speakers: int | None = Field(None, ge=1, description="Exact number of speakers.")
    min_speakers: int | None = Field(None, ge=1, description="At least so many speakers.")
    max_speakers: int | None = Field(None, ge=1, description="At most so many speakers.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.speakers is not None and (self.min_speakers is not None or self.max_speakers is not None):
            raise ValueError("give the exact number of speakers or a range of it, not both")
        if (self.min_speakers or 1) > (self.max_speakers or 10**6):
            raise ValueError("min_speakers is greater than max_speakers")
        return self


class EmotionSettings(_Settings):
    """At which grain to report emotions."""

    level: EmotionLevel = Field(
        EmotionLevel.SENTENCE, description="A row for each word, each sentence or the file."
    )


class ProcessRequest(_Settings):
    """Everything that governs the result for one recording."""

    tasks: frozenset[Task] = Field(frozenset(Task), min_length=1, description="What to find out.")
    tra: TranscriptionSettings = TranscriptionSettings()
    dia: DiarizationSettings = DiarizationSettings()
    emo: EmotionSettings = EmotionSettings()
