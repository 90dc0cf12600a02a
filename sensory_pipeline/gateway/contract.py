"""What is asked over HTTP: the fields of `request_json`, and the request of the pipeline that they mean.

A field that is not given is as in the settings of the installation. One that the engines cannot vary is accepted at the
values that describe what they do anyway, and refused by name at others.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

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
    """How to transcribe: faster-whisper's options, under its names."""

    language: str = Field("auto", description="ISO 639-1 code, or auto.")
    language_detection_threshold: float | None = Field(
        0.5,
        ge=0,
        le=1,
        description="A less probable language is doubtful: the text with the highest confidence of the three "
        "likeliest wins.",
    )
    language_detection_segments: int = Field(1, description="Only 1.")
    beam_size: int = Field(5, ge=1, le=10, description="Hypotheses kept while decoding.")
    no_speech_threshold: float | None = Field(
        0.6, ge=0, le=1, description="Doubtful text is dropped if the probability of silence is higher."
    )
    word_timestamps: bool = Field(True, description="Whether the answer has words.")
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
        [0, 0.2, 0.4, 0.6, 0.8, 1], description="Temperatures of decoding; if text is doubtful, the next is tried."
    )
    compression_ratio_threshold: float | None = Field(
        2.4, gt=0, description="Text that zlib compresses by more than this factor is doubtful."
    )
    log_prob_threshold: float | None = Field(
        -1, le=0, description="Text with a lower mean log probability is doubtful."
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
        """Those of the default, with what is given. Raises Problem for what cannot be obeyed."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        wrong = {
            f"settings.tra.{name}": "this service does not vary it: leave it out"
            for name in given.keys() & _FIXED
            if given[name] != TranscriptionOptions.model_fields[name].default
        }
        if wrong:
            raise refused(dict(sorted(wrong.items())))
        update: dict[str, Any] = {ours: given[name] for name, ours in _OBEYED.items() if name in given}
        if "language" in given:
            update["languages"] = ()
        if "task" in given:
            update["translate"] = self.task == "translate"
        if "temperature" in given:
            update["temperatures"] = self.temperature if isinstance(self.temperature, list) else (self.temperature,)
        if self.chunk_length is not None:
            update["clip_s"] = self.chunk_length
        for name in ("initial_prompt", "hotwords"):  # where an empty text stands for none
            if name in update:
                update[name] = update[name] or None
        try:
            return TranscriptionSettings(**default.model_dump() | update)
        except ValidationError as error:
            raise of_fields(error, "settings.tra") from error


_OBEYED = {
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
"""Options that are settings of the pipeline, by their names there."""

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
"""Options of which the default alone is taken."""


class DiarizationOptions(_Wire):
    """How to tell speakers apart."""

    use_gpu: bool = Field(True, description="Use a GPU if the service has one.")
    stereo_mode: bool = Field(False, description="Each channel is one speaker, L0 and R0; speakers are not detected.")


class EmotionOptions(_Wire):
    """At which grain to report emotions."""

    analysis_level: EmotionLevel = Field(
        EmotionLevel.WORD,
        description="speaker becomes word without a diarization; word and sentence become file without a transcript.",
    )
    model_name: Literal["gigaam_emo"] = Field(
        "gigaam_emo", description="The service uses its own engine, whichever it is; the answer has its name."
    )


class TaskSettings(_Wire):
    """What to find out, and how."""

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

    @classmethod
    def read(cls, text: bytes) -> RequestJson:
        """Raises Problem for what is not as it should be."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise of_fields(error, "request_json") from error

    @property
    def log_progress(self) -> bool:
        """Whether the log is to tell of each step."""
        return self.settings.tra is not None and self.settings.tra.log_progress

    @property
    def with_words(self) -> bool:
        """Whether the answer has words."""
        return self.settings.tra is None or self.settings.tra.word_timestamps

    def request(self, default: ProcessRequest) -> ProcessRequest:
        """What is asked of the pipeline. Raises Problem for an option that cannot be obeyed."""
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
    """What emotions are told of: never what was not asked for."""
    if asked is EmotionLevel.SPEAKER and Task.DIARIZATION not in tasks:
        asked = EmotionLevel.WORD
    words = (EmotionLevel.WORD, EmotionLevel.SENTENCE)
    return EmotionLevel.FILE if asked in words and Task.TRANSCRIBE not in tasks else asked
