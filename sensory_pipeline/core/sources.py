"""Where recordings come from, and the settings of single sources."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, model_validator

from sensory_pipeline.core.process_request import (
    DiarizationSettings,
    EmotionLevel,
    EmotionSettings,
    ProcessRequest,
    TranscriptionSettings,
)


class RecordingSettings(TranscriptionSettings, DiarizationSettings):
    """Everything that may differ between recordings: what is asked for, and which engines do it."""

    stereo: bool = Field(
        False, description="Each channel is one speaker, as in recorded calls; speakers are not detected."
    )
    track: int | None = Field(
        None, ge=1, description="Audio track, from 1; unset: the default track, or the next that is not silent."
    )
    drop_doubtful: bool = Field(
        False, description="Leave doubtful words out of utterances and formats; the words table keeps them."
    )
    emo_level: EmotionLevel = Field(
        EmotionLevel.SENTENCE, description="Level of the emotions table: word, sentence, speaker (each turn) or file."
    )
    stt: str | None = Field(None, description="Speech-to-text engine, by its name in docs/engines.md; unset: whisper.")
    diarization: str | None = Field(
        None,
        description="Diarization engine, by its name in docs/engines.md; unset: pyannote if PYANNOTE_MODEL is set, "
        "else onnx.",
    )
    emotion: str | None = Field(
        None,
        description="Emotion engine, by its name in docs/engines.md; unset: gigaam if GIGAAM_MODEL_NAME is set, "
        "else prosody.",
    )
    whisper_model_size: str | None = Field(
        None,
        validation_alias="WHISPER_MODEL_SIZE",
        description="Whisper model: a name (base, large-v3-turbo), a hub id or a folder; unset: DEFAULT_MODEL_NAME.",
    )
    pyannote_model: str | None = Field(
        None, validation_alias="PYANNOTE_MODEL", description="pyannote's model: open, a hub id or a folder."
    )
    gigaam_model_name: str | None = Field(
        None, validation_alias="GIGAAM_MODEL_NAME", description="GigaAM's model: emo, or the path of a checkpoint."
    )

    def request(self) -> ProcessRequest:
        """What these settings ask for."""
        return ProcessRequest(
            stereo=self.stereo,
            track=self.track,
            drop_doubtful=self.drop_doubtful,
            tra=TranscriptionSettings(**self.model_dump(include=set(TranscriptionSettings.model_fields))),
            dia=DiarizationSettings(**self.model_dump(include=set(DiarizationSettings.model_fields))),
            emo=EmotionSettings(level=self.emo_level),
        )


TOGETHER = (
    frozenset(DiarizationSettings.model_fields),
    frozenset({"language", "languages"}),
    frozenset({"stt", "whisper_model_size"}),
    frozenset({"diarization", "pyannote_model"}),
    frozenset({"emotion", "gigaam_model_name"}),
)
"""Settings that belong together: a source that gives one of a group takes none of that group from elsewhere."""


class Source(RecordingSettings):
    """A folder or an S3 prefix, with settings for its recordings.

    Settings that it does not give are those of the lake. For a source inside another, the inner one decides.
    """

    model_config = ConfigDict(validate_by_name=True)

    uri: str = Field(min_length=1, description="A folder, or s3://bucket/prefix.")
    suffixes: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Only audio files whose names end with one of these, in any case; unset: all.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_uri(cls, value: Any) -> Any:
        if not isinstance(value, str | dict | Source):
            raise ValueError("write a folder, s3://bucket/prefix, or a mapping that has one as its uri")
        return {"uri": value} if isinstance(value, str) else value

    @property
    def own(self) -> dict[str, Any]:
        """The settings it gives, and those that belong together with one of them.

        >>> Source(uri="calls", speakers=2).own
        {'speakers': 2, 'min_speakers': None, 'max_speakers': None}
        """
        given = self.model_fields_set - {"uri", "suffixes"}
        names = given.union(*(group for group in TOGETHER if group & given))
        return {name: getattr(self, name) for name in RecordingSettings.model_fields if name in names}

    def holds(self, uri: str) -> bool:
        """Whether the source takes an object of this name as a recording.

        >>> Source(uri="calls", suffixes=[".WAV"]).holds("file:///calls/a.wav")
        True
        """
        return self.suffixes is None or uri.lower().endswith(tuple(suffix.lower() for suffix in self.suffixes))
