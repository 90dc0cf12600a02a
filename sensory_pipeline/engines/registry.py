"""All engines. A new engine is its module and a line here."""

from __future__ import annotations

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.diarization import channels
from sensory_pipeline.engines.diarization.onnx import diarizer as onnx
from sensory_pipeline.engines.diarization.pyannote import diarizer as pyannote
from sensory_pipeline.engines.emotion import gigaam, prosody
from sensory_pipeline.engines.spec import EngineSpec
from sensory_pipeline.engines.stt import whisper

ENGINES: tuple[EngineSpec, ...] = (
    whisper.ENGINE,
    onnx.ENGINE,
    pyannote.ENGINE,
    channels.ENGINE,
    prosody.ENGINE,
    gigaam.ENGINE,
)
"""The first engine of a stage is its default."""

SETTINGS = {
    Stage.TRANSCRIPTS: "SENSORY_STT",
    Stage.DIARIZATION: "SENSORY_DIARIZATION",
    Stage.EMOTIONS: "SENSORY_EMOTION",
}
"""The settings that choose an engine by name."""


def engines_of(stage: Stage) -> tuple[EngineSpec, ...]:
    """The engines for a stage."""
    return tuple(engine for engine in ENGINES if engine.stage is stage)


def engine_named(stage: Stage, name: str) -> EngineSpec:
    """The engine with that name.

    >>> engine_named(Stage.TRANSCRIPTS, "whisper").model
    'whisper_model_size'

    Raises:
        ConfigurationError: There is none; the message names those there are.
    """
    found = next((engine for engine in engines_of(stage) if engine.name == name), None)
    if found is None:
        there = ", ".join(engine.name for engine in engines_of(stage))
        raise ConfigurationError(f"{SETTINGS[stage]} is {name!r}, and the engines for {stage.value} are {there}")
    return found
