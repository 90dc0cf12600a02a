"""The fields of `request_json`, and their conversion to a request of the pipeline.

A missing field takes its value from the settings of the installation. If the engines cannot vary an option, the service
accepts only the value that describes what they do, and names the option when it refuses another.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, ValidationError

from sensory_pipeline.core.process_request import (
    EmotionLevel,
    EmotionSettings,
    ProcessRequest,
    Task,
    TranscriptionSettings,
)
from sensory_pipeline.gateway.problems import of_fields, refused


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TranscriptionOptions(_Wire):
    """How to transcribe. The options have the names of faster-whisper."""

    language: str = Field("auto", description="ISO 639-1 code, or auto.")
    language_detection_threshold: float | None = Field(
        0.5,
        ge=0,
        le=1,
        description="If the detected language is less probable than this, the three most probable ones are tried and "
        "the text with the highest confidence is used.",
    )
    language_detection_segments: int = Field(1, description="Only 1.")
    beam_size: int = Field(5, ge=1, le=10, description="Hypotheses kept while decoding.")
    no_speech_threshold: float | None = Field(
        0.6,
        ge=0,
        le=1,
        description="Text that fails log_prob_threshold is dropped if the probability of silence is higher than this.",
    )
    word_timestamps: bool = Field(True, description="Whether the result has words.")
    vad_filter: bool = Field(False, description="Silence is never decoded, so both values give the same result.")
    batch_size: int = Field(
        16, ge=1, le=64, description="Clips share batches with other requests; the size does not change the text."
    )
    task: Literal["transcribe", "translate"] = Field("transcribe", description="translate: into English.")
    initial_prompt: str | None = Field(None, description="Example of the style and spelling you want.")
    log_progress: bool = Field(False, description="Log each stage of this request at level INFO.")
    best_of: int = Field(10, description="Only 10.")
    patience: float = Field(1, description="Only 1.")
    length_penalty: float = Field(1, description="Only 1.")
    repetition_penalty: float = Field(1, description="Only 1.")
    no_repeat_ngram_size: int = Field(0, description="Only 0.")
    temperature: float | list[float] = Field(
        [0, 0.2, 0.4, 0.6, 0.8, 1],
        description="Temperatures of decoding; if text fails a threshold, the next is tried.",
    )
    compression_ratio_threshold: float | None = Field(
        2.4, gt=0, description="Text that zlib compresses by more than this factor is decoded again."
    )
    log_prob_threshold: float | None = Field(
        -1, le=0, description="Text with a lower mean log probability is decoded again."
    )
    condition_on_previous_text: bool = Field(
        True, description="A clip is decoded without the text before it, so both values give the same result."
    )
    prompt_reset_on_temperature: float = Field(0.5, description="Only 0.5.")
    prefix: str | None = Field(None, description="Only null.")
    suppress_blank: bool = Field(True, description="Only true.")
    suppress_tokens: list[int] | None = Field([-1], description="Only [-1].")
    without_timestamps: bool = Field(False, description="Only false.")
    max_initial_timestamp: float = Field(1, description="Only 1.")
    prepend_punctuations: str = Field("\"'“¿([{-", description="Only the default.")
    append_punctuations: str = Field("\"'.。,，!！?？:：”)]}、", description="Only the default.")
    multilingual: bool = Field(False, description="Detect the language of every clip separately.")
    vad_parameters: dict[str, Any] | None = Field(None, description="Only null.")
    max_new_tokens: int | None = Field(None, description="Only null.")
    chunk_length: int | None = Field(None, ge=2, le=30, description="Maximum seconds decoded at once.")
    clip_timestamps: str | list[float] = Field("0", description='Only "0": the whole recording.')
    hallucination_silence_threshold: float | None = Field(
        None, gt=0, description="Improbable words are dropped if at least this many seconds of silence surround them."
    )
    hotwords: str | None = Field(None, description="Names and terms to expect.")

    def settings(self, default: TranscriptionSettings) -> TranscriptionSettings:
        """The default settings, changed by the given options.

        Raises:
            Problem: An option is not supported.
        """
        given = {name: getattr(self, name) for name in self.model_fields_set}
        wrong = {
            f"settings.tra.{name}": "this service does not vary it: leave it out"
            for name in given.keys() & _FIXED
            if given[name] != TranscriptionOptions.model_fields[name].default
        }
        if wrong:
            raise refused(dict(sorted(wrong.items())))
        update: dict[str, Any] = {ours: given[name] for name, ours in _SUPPORTED.items() if name in given}
        if "language" in given:
            update["languages"] = ()
        if "task" in given:
            update["translate"] = self.task == "translate"
        if "temperature" in given:
            update["temperatures"] = self.temperature if isinstance(self.temperature, list) else (self.temperature,)
        if self.chunk_length is not None:
            update["clip_s"] = self.chunk_length
        for name in ("initial_prompt", "hotwords"):  # an empty text means none
            if name in update:
                update[name] = update[name] or None
        try:
            return TranscriptionSettings(**default.model_dump() | update)
        except ValidationError as error:
            raise of_fields(error, "settings.tra") from error


_SUPPORTED = {
    "language": "language",
    "language_detection_threshold": "language_detection_threshold",
    "beam_size": "beam_size",
    "no_speech_threshold": "no_speech_threshold",
    "initial_prompt": "initial_prompt",
    "compression_ratio_threshold": "compression_ratio_threshold",
    "log_prob_threshold": "log_prob_threshold",
    "multilingual": "multilingual",
    "hallucination_silence_threshold": "hallucination_silence_s",
    "hotwords": "hotwords",
}
"""Supported options, and the names of the settings that they change."""

_FIXED = frozenset(
    {
        "language_detection_segments",
        "best_of",
        "patience",
        "length_penalty",
        "repetition_penalty",
        "no_repeat_ngram_size",
        "prompt_reset_on_temperature",
        "prefix",
        "suppress_blank",
        "suppress_tokens",
        "without_timestamps",
        "max_initial_timestamp",
        "prepend_punctuations",
        "append_punctuations",
        "vad_parameters",
        "max_new_tokens",
        "clip_timestamps",
    }
)
"""Options for which the service accepts only the default."""


class DiarizationOptions(_Wire):
    """How to tell speakers apart."""

    use_gpu: bool = Field(True, description="Use a GPU if the service has one.")
    stereo_mode: bool = Field(False, description="Each channel is one speaker, L0 and R0; speakers are not detected.")


class EmotionOptions(_Wire):
    """The level at which to report emotions."""

    analysis_level: EmotionLevel = Field(
        EmotionLevel.WORD,
        description="Without diarization, speaker becomes word; without a transcript, word and sentence become file.",
    )
    model_name: Literal["gigaam_emo"] = Field(
        "gigaam_emo", description="Ignored: the service uses its own engine, and names it in the response."
    )


class TaskSettings(_Wire):
    """The tasks to perform, and their options."""

    tasks: list[Task] = Field([Task.TRANSCRIBE], min_length=1, description="Tasks to perform.")
    tra: TranscriptionOptions | None = None
    dia: DiarizationOptions | None = None
    emo: EmotionOptions | None = None


class RequestJson(_Wire):
    """The field `request_json`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "settings": {
                    "tasks": ["transcribe", "diarization", "emotion"],
                    "tra": {"language": "auto"},
                    "dia": {"stereo_mode": False},
                    "emo": {"analysis_level": "sentence"},
                },
                "format_output": "json",
                "async_process": False,
            }
        }
    )

    settings: TaskSettings
    format_output: Literal["json", "text"] = "json"
    async_process: bool = Field(
        False, description="Answer at once and process the recording in the background: GET /v1/jobs/{job_id}."
    )
    webhook_url: HttpUrl | None = Field(
        None,
        description="URL that gets the state of the background job, without its result, once it is finished.",
    )

    @classmethod
    def read(cls, text: bytes) -> RequestJson:
        """Parse the field's JSON.

        Raises:
            Problem: It is invalid.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise of_fields(error, "request_json") from error

    @property
    def log_progress(self) -> bool:
        """Whether to log each step at level INFO."""
        return self.settings.tra is not None and self.settings.tra.log_progress

    @property
    def with_words(self) -> bool:
        """Whether the result has words."""
        return self.settings.tra is None or self.settings.tra.word_timestamps

    def request(self, default: ProcessRequest) -> ProcessRequest:
        """The request to the pipeline.

        Args:
            default: The request that the settings of the installation make.

        Raises:
            Problem: An option is not supported.
        """
        tasks = frozenset(self.settings.tasks)
        tra, dia = self.settings.tra, self.settings.dia
        stereo_given = dia is not None and "stereo_mode" in dia.model_fields_set
        return default.model_copy(
            update={
                "tasks": tasks,
                "stereo": dia.stereo_mode if dia is not None and stereo_given else default.stereo,
                "tra": default.tra if tra is None else tra.settings(default.tra),
                "emo": EmotionSettings(level=_level((self.settings.emo or EmotionOptions()).analysis_level, tasks)),
            }
        )


def _level(asked: EmotionLevel, tasks: frozenset[Task]) -> EmotionLevel:
    """The level to report, which must not depend on a task that was not requested."""
    if asked is EmotionLevel.SPEAKER and Task.DIARIZATION not in tasks:
        asked = EmotionLevel.WORD
    words = (EmotionLevel.WORD, EmotionLevel.SENTENCE)
    return EmotionLevel.FILE if asked in words and Task.TRANSCRIBE not in tasks else asked
