"""Which engines do the work. Constructing an engine is cheap; its model loads with its first job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from sensory_pipeline.engines.activity import ActivityLog
from sensory_pipeline.engines.base import Diarizer, EmotionClassifier, Transcriber
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.devices import CPU, Device, DeviceKind, choose, choose_compute_type, nvidia_smi_gpus
from sensory_pipeline.engines.gpu import gpu_name
from sensory_pipeline.engines.stt.batch_size import BatchSizes


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """One engine of each kind, living in one process. cache: of their models; None where none has any;
    activity: what they do, as far as they note it."""

    transcriber: Transcriber
    diarizer: Diarizer
    classifier: EmotionClassifier
    cache: ModelCache | None = None
    activity: ActivityLog = field(default_factory=ActivityLog)


EngineFactory = Callable[[], Engines]
EngineSets = Callable[[], Sequence[Engines]]
"""Make engines inside the process that will use them, one set or one for each choice; picklable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineChoice:
    """What was chosen, as plain values: names of models are names, hub ids or paths.

    The *_device are "auto", "cpu", "cuda" or one by number; visible_devices: CUDA_VISIBLE_DEVICES;
    device: the one that the run was given, None for any there is.
    """

    stt: Literal["whisper", "pocketsphinx"] = "pocketsphinx"
    diarization: Literal["pyannote", "offline"] = "offline"
    emotion: Literal["gigaam", "prosody"] = "prosody"
    stereo: bool = False
    whisper_model: str = "small"
    whisper_device: str = "auto"
    whisper_compute_type: str = "auto"
    whisper_cpu_threads: int = 0
    whisper_batch_size: int | None = None
    pyannote_model: str = "pyannote/speaker-diarization-community-1"
    pyannote_device: str = "auto"
    pyannote_token: SecretStr | None = None
    pyannote_trusted_classes: frozenset[str] = frozenset()
    pyannote_window_step: float | None = None
    gigaam_model: str = "emo"
    gigaam_device: str = "auto"
    visible_devices: str | None = None
    device: str | None = None
    cache: CacheSettings = field(default_factory=CacheSettings)

    @property
    def offline(self) -> bool:
        """Whether no engine has a model that would have to be loaded, or shared."""
        return (self.stt, self.diarization, self.emotion) == ("pocketsphinx", "offline", "prosody")


def engine_sets(choices: Sequence[EngineChoice]) -> list[Engines]:
    """The engines of each choice, all sharing one cache of models. Raises as `chosen_engines` does."""
    cache = ModelCache(choices[0].cache)
    return [chosen_engines(choice, cache) for choice in choices]


def chosen_engines(choice: EngineChoice, cache: ModelCache | None = None) -> Engines:
    """The engines of a choice. cache: of their models; one of their own when None.

    Raises ConfigurationError for a device or a compute type that is not to be had.
    """
    available = _available(choice)
    cache = cache or ModelCache(choice.cache)
    activity = ActivityLog()
    return Engines(
        transcriber=_transcriber(choice, available, cache, activity),
        diarizer=_diarizer(choice, available, cache, activity),
        classifier=_classifier(choice, available, cache, activity),
        cache=None if choice.offline else cache,
        activity=activity,
    )


def _available(choice: EngineChoice) -> tuple[Device, ...]:
    if choice.device is not None:
        return tuple(dict.fromkeys((Device.parse(choice.device), CPU)))
    return (CPU,) if choice.offline else (*nvidia_smi_gpus(choice.visible_devices), CPU)


def _transcriber(
    choice: EngineChoice, available: tuple[Device, ...], cache: ModelCache, activity: ActivityLog
) -> Transcriber:
    if choice.stt == "pocketsphinx":
        from sensory_pipeline.engines.stt.pocketsphinx import PocketSphinxTranscriber

        return PocketSphinxTranscriber(activity)
    from sensory_pipeline.engines.stt.whisper import WhisperTranscriber

    device = choose(choice.whisper_device, available)
    return WhisperTranscriber(
        choice.whisper_model,
        device=device,
        compute_type=choose_compute_type(choice.whisper_compute_type, device),
        cache=cache,
        cpu_threads=choice.whisper_cpu_threads,
        batch_size=choice.whisper_batch_size,
        sizes=_batch_sizes(choice, device),
        activity=activity,
    )


def _batch_sizes(choice: EngineChoice, device: Device) -> BatchSizes | None:
    """For a GPU; a CPU is as fast with any."""
    if device.kind is DeviceKind.CPU:
        return None
    path = Path.home() / ".cache" / "sensory_pipeline" / "batch_sizes.json"
    return BatchSizes(path=path, place=gpu_name(device, choice.visible_devices))


def _diarizer(
    choice: EngineChoice, available: tuple[Device, ...], cache: ModelCache, activity: ActivityLog
) -> Diarizer:
    if choice.stereo:
        from sensory_pipeline.engines.diarization.channels import ChannelDiarizer

        return ChannelDiarizer(activity)
    if choice.diarization == "offline":
        from sensory_pipeline.engines.diarization.offline import OfflineDiarizer

        return OfflineDiarizer(activity)
    from sensory_pipeline.engines.diarization.pyannote_audio import PyannoteDiarizer

    return PyannoteDiarizer(
        choice.pyannote_model,
        device=choose(choice.pyannote_device, available),
        cache=cache,
        token=choice.pyannote_token,
        trusted_classes=choice.pyannote_trusted_classes,
        window_step=choice.pyannote_window_step,
        activity=activity,
    )


def _classifier(
    choice: EngineChoice, available: tuple[Device, ...], cache: ModelCache, activity: ActivityLog
) -> EmotionClassifier:
    if choice.emotion == "prosody":
        from sensory_pipeline.engines.emotion.prosody import ProsodyClassifier

        return ProsodyClassifier(activity)
    from sensory_pipeline.engines.emotion.gigaam import GigaamClassifier

    device = choose(choice.gigaam_device, available)
    return GigaamClassifier(choice.gigaam_model, device=device.torch_name, cache=cache, activity=activity)
