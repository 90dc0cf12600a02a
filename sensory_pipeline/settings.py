"""The only reader of the environment and of `.env`.

Every setting can be given as an environment variable of the name shown by `Settings.names()`;
`.env.example` lists them all with their meaning.
"""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from sensory_pipeline.core.requests import (
    DiarizationSettings,
    EmotionLevel,
    EmotionSettings,
    ProcessRequest,
    TranscriptionSettings,
)


class Settings(BaseSettings):
    """How this installation runs and what it asks of every recording by default."""

    model_config = SettingsConfigDict(
        env_prefix="SENSORY_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    lake: Path = Field(Path("lake"), description="Folder that holds the tables and all state.")
    shards: int = Field(8, ge=1, le=256, description="Shards of a new lake; frozen once it exists.")
    start_date: date = Field(
        date(2024, 1, 1), description="First date of the lake; older recordings count as of this day."
    )
    run_audio_hours: float = Field(8, gt=0, description="Hours of audio one run takes at most.")
    max_audio_hours: float = Field(12, gt=0, description="Longer recordings are refused as AudioTooLong.")
    audio_cache_gb: float = Field(10, ge=0, description="Gigabytes of decoded audio kept for later stages.")
    workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        description="Engine processes at work side by side; by default one per core.",
    )
    worker_memory_mb: int = Field(8192, ge=128, description="Megabytes of memory at which an engine process is killed.")
    recording_timeout_s: float = Field(
        300,
        gt=0,
        description="Seconds an engine may be silent over a recording before it counts as hung; "
        "ten times the recording's length is added.",
    )

    stt: Literal["pocketsphinx"] = Field("pocketsphinx", description="Speech-to-text engine.")
    diarization: Literal["offline"] = Field("offline", description="Diarization engine.")
    emotion: Literal["prosody"] = Field("prosody", description="Emotion engine.")

    language: str = Field("auto", description="ISO 639-1 code of the language spoken, or 'auto'.")
    beam_size: int = Field(5, ge=1, le=20, description="Hypotheses kept while decoding.")
    speakers: int | None = Field(None, ge=1, description="Exact number of speakers, where known.")
    min_speakers: int | None = Field(None, ge=1, description="At least so many speakers.")
    max_speakers: int | None = Field(None, ge=1, description="At most so many speakers.")
    stereo: bool = Field(False, description="Each channel is one speaker, as in recorded calls; nobody is guessed.")
    emo_level: EmotionLevel = Field(
        EmotionLevel.SENTENCE, description="Grain of the emotions table: word, sentence or file."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "WARNING", validation_alias="LOG_LEVEL", description="How much is logged."
    )

    def request(self) -> ProcessRequest:
        """What is asked of every recording."""
        return ProcessRequest(
            stereo=self.stereo,
            tra=TranscriptionSettings(language=self.language, beam_size=self.beam_size),
            dia=DiarizationSettings(
                speakers=self.speakers, min_speakers=self.min_speakers, max_speakers=self.max_speakers
            ),
            emo=EmotionSettings(level=self.emo_level),
        )

    @classmethod
    def names(cls) -> dict[str, str]:
        """Environment variable -> meaning."""
        return {
            str(field.validation_alias or f"SENSORY_{name.upper()}"): field.description or ""
            for name, field in cls.model_fields.items()
        }


def dagster_home() -> Path | None:
    """DAGSTER_HOME, where somebody has set one."""
    value = os.environ.get("DAGSTER_HOME")  # noqa: TID251
    return Path(value) if value else None


def environment_with(**variables: str) -> dict[str, str]:
    """The environment for a child process, with these variables set."""
    return {**os.environ, **variables}  # noqa: TID251
