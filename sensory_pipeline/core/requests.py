"""What can be asked of the pipeline; the same words on the command line, in settings and over HTTP."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sensory_pipeline.core.languages import AUTO, CodeOrAuto, Codes


class Task(StrEnum):
    """What to find out about a recording."""

    TRANSCRIBE = "transcribe"
    DIARIZATION = "diarization"
    EMOTION = "emotion"


class EmotionLevel(StrEnum):
    """What a row of `emotions` stands for."""

    WORD = "word"
    SENTENCE = "sentence"
    SPEAKER = "speaker"
    """Each turn of a speaker."""
    FILE = "file"


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Temperature = Annotated[float, Field(ge=0, le=1)]


class TranscriptionSettings(_Settings):
    """How to transcribe. An engine without a decoder like Whisper's heeds the language alone.

    A window is the sound decoded at once. A threshold of None is not applied.
    """

    language: CodeOrAuto = Field(AUTO, description="ISO 639-1 code of the language spoken, or 'auto' to detect it.")
    languages: Codes = Field(
        (), description="Codes of the languages that may be spoken, as in en,es: 'auto' detects one of these alone."
    )
    multilingual: bool = Field(False, description="Detect the language of every window anew.")
    language_detection_threshold: float | None = Field(
        0.5,
        ge=0,
        le=1,
        description="A language detected with a lower probability is doubtful: the likeliest three are tried, and the "
        "surest text decides.",
    )
    translate: bool = Field(False, description="Write down in English what is said in another language.")
    beam_size: int = Field(5, ge=1, le=20, description="Hypotheses kept while decoding; more is slower and surer.")
    clip_s: float = Field(
        30,
        ge=2,
        le=30,
        description="Seconds decoded at once at most; speech is cut in its pauses. Less hears less context.",
    )
    temperatures: tuple[Temperature, ...] = Field(
        (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
        min_length=1,
        description="Randomness of decoding: the next is tried when the one before gives doubtful text.",
    )
    initial_prompt: str | None = Field(
        None, min_length=1, description="Text of the style and spelling wanted, as if said before every window."
    )
    hotwords: str | None = Field(None, min_length=1, description="Names and terms to expect, separated by blanks.")
    compression_ratio_threshold: float | None = Field(
        2.4, gt=0, description="Text that zlib shrinks by more than this factor is doubtful: it repeats itself."
    )
    log_prob_threshold: float | None = Field(
        -1.0, le=0, description="Text with a lower mean log probability of its tokens is doubtful."
    )
    no_speech_threshold: float | None = Field(
        0.6, ge=0, le=1, description="Doubtful text is dropped where silence is more probable than this."
    )
    hallucination_silence_s: float | None = Field(
        None, gt=0, description="Seconds of silence around improbable words from which they are dropped."
    )
    lost_speech_s: float | None = Field(
        1,
        gt=0,
        description="Seconds of speech without a word from which a clip counts as skipped in part: it is cut in two, "
        "and decoded anew.",
    )
    max_repeats: int | None = Field(
        10, ge=1, description="A phrase said more often in a row counts as a decoder's loop and is kept once."
    )

    @property
    def asked_languages(self) -> frozenset[str]:
        """Those that are named; none where any may be spoken.

        >>> sorted(TranscriptionSettings(languages="es,en").asked_languages)
        ['en', 'es']
        """
        return frozenset(self.languages if self.language == AUTO else (self.language,))


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
        EmotionLevel.SENTENCE, description="A row for each word, sentence or turn of a speaker, or for the file."
    )


class ProcessRequest(_Settings):
    """Everything that governs the result for one recording."""

    tasks: frozenset[Task] = Field(frozenset(Task), min_length=1, description="What to find out.")
    stereo: bool = Field(False, description="Each channel is one speaker, as in recorded calls; nobody is guessed.")
    drop_doubtful: bool = Field(False, description="Tell no doubtful words: utterances and formats are without them.")
    track: int | None = Field(
        None, ge=1, description="Audio track, from 1; unset: the default one, or the next that is not silent."
    )
    tra: TranscriptionSettings = TranscriptionSettings()
    dia: DiarizationSettings = DiarizationSettings()
    emo: EmotionSettings = EmotionSettings()
