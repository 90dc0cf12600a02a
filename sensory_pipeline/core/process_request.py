"""What can be asked of the pipeline; the same names on the command line, in settings and over HTTP."""

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
    """How to transcribe. An engine whose decoder is not like Whisper's uses the language only.

    A window is the sound decoded at once. A threshold of None is not applied.
    """

    language: CodeOrAuto = Field(AUTO, description="ISO 639-1 code of the language, or 'auto' to detect it.")
    languages: Codes = Field(
        (), description="Codes of the languages that may be spoken, for example en,es; 'auto' detects only these."
    )
    multilingual: bool = Field(False, description="Detect the language of every window separately.")
    language_detection_threshold: float | None = Field(
        0.5,
        ge=0,
        le=1,
        description="A language detected with a lower probability is doubtful: the three likeliest are tried, and the "
        "text with the highest confidence wins.",
    )
    translate: bool = Field(False, description="Translate speech in other languages into English.")
    beam_size: int = Field(
        5, ge=1, le=20, description="Hypotheses kept while decoding; more are slower and more accurate."
    )
    clip_s: float = Field(
        30,
        ge=2,
        le=30,
        description="Maximum seconds decoded at once; speech is cut at its pauses. Less gives Whisper less context.",
    )
    window_padding_s: float | None = Field(
        10,
        ge=0,
        le=30,
        description="On a CPU, minimum seconds of silence decoded after each clip, instead of the rest of Whisper's "
        "window of 30 s. Less is faster, but less accurate below 10; unset: the full window, as in faster-whisper.",
    )
    temperatures: tuple[Temperature, ...] = Field(
        (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
        min_length=1,
        description="Temperatures of decoding; if one gives doubtful text, the next is tried.",
    )
    initial_prompt: str | None = Field(
        None,
        min_length=1,
        description="Example of the style and spelling you want; Whisper treats it as the text before every window.",
    )
    hotwords: str | None = Field(None, min_length=1, description="Names and terms to expect, separated by spaces.")
    compression_ratio_threshold: float | None = Field(
        2.4, gt=0, description="Text that zlib compresses by more than this factor repeats itself and is doubtful."
    )
    log_prob_threshold: float | None = Field(
        -1.0, le=0, description="Text with a lower mean log probability of its tokens is doubtful."
    )
    no_speech_threshold: float | None = Field(
        0.6, ge=0, le=1, description="Doubtful text is dropped if the probability of silence is higher than this."
    )
    hallucination_silence_s: float | None = Field(
        None, gt=0, description="Improbable words are dropped if at least this many seconds of silence surround them."
    )
    lost_speech_s: float | None = Field(
        1,
        gt=0,
        description="A clip with at least this many seconds of speech without a word is cut in two and decoded again.",
    )
    max_repeats: int | None = Field(
        10, ge=1, description="A phrase repeated more often than this in a row is a decoding loop and is kept once."
    )

    @property
    def asked_languages(self) -> frozenset[str]:
        """The languages that are named; empty if any may be spoken.

        >>> sorted(TranscriptionSettings(languages="es,en").asked_languages)
        ['en', 'es']
        """
        return frozenset(self.languages if self.language == AUTO else (self.language,))


class DiarizationSettings(_Settings):
    """How many speakers to expect; None where unknown."""

    speakers: int | None = Field(None, ge=1, description="Exact number of speakers.")
    min_speakers: int | None = Field(None, ge=1, description="Minimum number of speakers.")
    max_speakers: int | None = Field(None, ge=1, description="Maximum number of speakers.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.speakers is not None and (self.min_speakers is not None or self.max_speakers is not None):
            raise ValueError("give either the exact number of speakers or a range, not both")
        if (self.min_speakers or 1) > (self.max_speakers or 10**6):
            raise ValueError("min_speakers is greater than max_speakers")
        return self


class EmotionSettings(_Settings):
    """For which parts of a recording to report emotions."""

    level: EmotionLevel = Field(
        EmotionLevel.SENTENCE, description="One row per word, sentence or turn of a speaker, or one for the file."
    )


class ProcessRequest(_Settings):
    """Everything that determines the result for one recording."""

    tasks: frozenset[Task] = Field(frozenset(Task), min_length=1, description="Tasks to perform.")
    stereo: bool = Field(
        False, description="Each channel is one speaker, as in recorded calls; speakers are not detected."
    )
    drop_doubtful: bool = Field(False, description="Leave doubtful words out of utterances and formats.")
    track: int | None = Field(
        None, ge=1, description="Audio track, from 1; unset: the default track, or the next that is not silent."
    )
    tra: TranscriptionSettings = TranscriptionSettings()
    dia: DiarizationSettings = DiarizationSettings()
    emo: EmotionSettings = EmotionSettings()
