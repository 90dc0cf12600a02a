"""Makes the engines that settings choose. That is cheap; a model loads with its engine's first job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.activity_log import ActivityLog
from sensory_pipeline.engines.base import Diarizer, EmotionClassifier, Transcriber
from sensory_pipeline.engines.cache import ModelCache
from sensory_pipeline.engines.device_discovery import nvidia_smi_gpus
from sensory_pipeline.engines.devices import CPU, Device
from sensory_pipeline.engines.registry import engine_named
from sensory_pipeline.engines.spec import EngineChoice, EngineContext, EngineSpec, Weights

CHANNELS = "channels"
"""The engine for recordings in which each channel is a speaker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """One engine of each kind, in one process.

    Attributes:
        transcriber: Speech to text.
        diarizer: Who spoke when.
        classifier: How it was said.
        cache: Holds their models; None for engines that use none.
        activity: What they do, as far as they note it.
    """

    transcriber: Transcriber
    diarizer: Diarizer
    classifier: EmotionClassifier
    cache: ModelCache | None = None
    activity: ActivityLog = field(default_factory=ActivityLog)


EngineFactory = Callable[[], Engines]
EngineSets = Callable[[], Sequence[Engines]]
"""Make engines in the process that will use them, one set or one for each choice; picklable."""


def specs(choice: EngineChoice) -> dict[Stage, EngineSpec]:
    """The engine of each stage that has one.

    Raises:
        ConfigurationError: There is no engine with a chosen name.
    """
    names = {
        Stage.TRANSCRIPTS: choice.stt,
        Stage.DIARIZATION: CHANNELS if choice.stereo else choice.diarization,
        Stage.EMOTIONS: choice.emotion,
    }
    return {stage: engine_named(stage, name) for stage, name in names.items()}


def weights(choice: EngineChoice) -> list[Weights]:
    """The models that the chosen engines need on this machine."""
    return [needed for spec in specs(choice).values() for needed in spec.weights(choice)]


def light(choice: EngineChoice) -> bool:
    """Whether the chosen engines need no torch, and so start in seconds and take little memory."""
    return not any(spec.packages for spec in specs(choice).values())


def engine_sets(choices: Sequence[EngineChoice]) -> list[Engines]:
    """The engines of each choice, all sharing one cache of models.

    Raises:
        ConfigurationError: As `chosen_engines`.
    """
    cache = ModelCache(choices[0].cache)
    return [chosen_engines(choice, cache) for choice in choices]


def chosen_engines(choice: EngineChoice, cache: ModelCache | None = None) -> Engines:
    """The engines of a choice.

    Args:
        choice: What settings choose.
        cache: For their models; None for a cache of their own.

    Raises:
        ConfigurationError: An engine, a device or a compute type is not available.
    """
    context = EngineContext(devices=_devices(choice), cache=cache or ModelCache(choice.cache), activity=ActivityLog())
    made = {stage: spec.make(choice, context) for stage, spec in specs(choice).items()}
    return Engines(
        transcriber=made[Stage.TRANSCRIPTS],
        diarizer=made[Stage.DIARIZATION],
        classifier=made[Stage.EMOTIONS],
        cache=context.cache,
        activity=context.activity,
    )


def _devices(choice: EngineChoice) -> tuple[Device, ...]:
    if choice.device is not None:
        return tuple(dict.fromkeys((Device.parse(choice.device), CPU)))
    return (*nvidia_smi_gpus(choice.visible_devices), CPU)
