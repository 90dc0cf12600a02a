"""The settings that shape the results of a lake, which keeps them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from sensory_pipeline.core.sources import TOGETHER, RecordingSettings, Source


def _listed(value: Any) -> Any:
    """The list itself, or the one in the YAML file of that name."""
    if not isinstance(value, str):
        return value
    try:
        found = yaml.safe_load(value if value.lstrip().startswith("[") else Path(value).read_text())
    except OSError as error:
        raise ValueError(f"it is neither a list nor a file that can be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"it is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, list):
        raise ValueError('it should contain a list, for example ["/recordings", "s3://bucket/calls"]')
    return found


class LakeSettings(RecordingSettings):
    """Settings that are part of the fingerprints of results. None of them is a secret."""

    sources: Annotated[tuple[Source, ...], NoDecode, BeforeValidator(_listed)] = Field(
        (),
        description='Folders and S3 prefixes to watch: ["/recordings", "s3://bucket/calls"], or a YAML file '
        "with such a list, where each entry can have its own settings (docs/sources.md).",
    )
    default_model_name: str = Field(
        "base", validation_alias="DEFAULT_MODEL_NAME", description="Whisper model if WHISPER_MODEL_SIZE is unset."
    )
    whisper_batch_size: int | None = Field(
        None,
        ge=1,
        validation_alias="WHISPER_BATCH_SIZE",
        description="Number of clips decoded together, from any recordings; unset: chosen for the device; 1: one "
        "after the other, in segments as Whisper cuts them.",
    )
    pyannote_window_step: float | None = Field(
        None,
        gt=0,
        le=1,
        validation_alias="PYANNOTE_WINDOW_STEP",
        description="Distance between pyannote's windows, as a fraction of a window; unset: the model's own, 0.1. "
        "0.25 takes half as long and is less exact.",
    )


ONE_CHOICE = (*TOGETHER, frozenset({"stt", "whisper_model_size", "default_model_name"}))
"""Groups of settings: where one of a group is given, none of it is taken from the lake."""
