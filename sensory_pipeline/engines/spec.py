"""What the registry knows about an engine, and what is needed to make one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import SecretStr

from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.activity_log import ActivityLog
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.catalogue.fetch import SILENT, Report, fetch
from sensory_pipeline.engines.catalogue.store import HOME, Store
from sensory_pipeline.engines.devices import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineChoice:
    """Which engines were chosen, and the settings they read, under their names in `Settings`.

    Attributes:
        stt: Name in the registry.
        diarization: Name in the registry.
        emotion: Name in the registry.
        stereo: Whether each channel is a speaker, so that speakers are not detected.
        models: The folder of fetched models; None for the one in the user's home.
        visible_devices: CUDA_VISIBLE_DEVICES.
        device: The device given to the run; None for any there is.
        cache: Limits of the cache of models.
    """

    stt: str = "whisper"
    diarization: str = "onnx"
    emotion: str = "prosody"
    stereo: bool = False
    models: Path | None = None
    whisper_model_size: str = "base"
    whisper_device: str = "auto"
    whisper_compute_type: str = "auto"
    whisper_cpu_threads: int = 0
    whisper_batch_size: int | None = None
    pyannote_model: str = "pyannote/speaker-diarization-community-1"
    pyannote_use_gpu: bool = True
    pyannote_auth_token: SecretStr | None = None
    pyannote_trusted_classes: frozenset[str] = frozenset()
    pyannote_window_step: float | None = None
    gigaam_model_name: str = "emo"
    visible_devices: str | None = None
    device: str | None = None
    cache: CacheSettings = field(default_factory=CacheSettings)

    @property
    def store(self) -> Store:
        """Where fetched models are."""
        return Store(self.models) if self.models else HOME


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineContext:
    """What the engines of one process share.

    Attributes:
        devices: The devices they may use, the best first.
        cache: Holds their models.
        activity: Where they note what they do.
    """

    devices: tuple[Device, ...]
    cache: ModelCache
    activity: ActivityLog


class Weights(Protocol):
    """A model that an engine needs on this machine.

    Attributes:
        name: As `sensory models fetch` takes it.
    """

    @property
    def name(self) -> str: ...

    def here(self) -> bool:
        """Whether the model is on this machine. Uses no network.

        Raises:
            ConfigurationError: The setting names no model.
        """
        ...

    def fetch(self, report: Report = SILENT) -> Path:
        """Where the model is, downloaded if needed.

        Raises:
            ConfigurationError: It cannot be fetched.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueWeights:
    """A model that the catalogue lists.

    Attributes:
        name: Of the catalogue.
        store: Where it belongs.
        token: Of the hub, for a model that needs one.
        given: A folder or an archive to take it from.
    """

    name: str
    store: Store
    token: SecretStr | None = None
    given: Path | None = None

    def here(self) -> bool:
        return self.store.here(self.name)

    def fetch(self, report: Report = SILENT) -> Path:
        return fetch(self.name, self.store, token=self.token, given=self.given, report=report)


def _no_weights(_: EngineChoice) -> tuple[Weights, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """One engine, as selection, fetching, diagnosis and documentation see it.

    Attributes:
        name: The name by which settings choose it.
        stage: The stage it does.
        about: What it is, for the documentation.
        make: Makes it; cheap, since its model loads with its first job.
        settings: The settings it reads, by their names in `Settings` and `EngineChoice`.
        model: The setting that names its model; if that is set, it chooses the engine.
        packages: Packages it needs beyond the project's own; the extra `models` installs them.
        weights: The models it needs on this machine, for a choice.
    """

    name: str
    stage: Stage
    about: str
    make: Callable[[EngineChoice, EngineContext], Any]
    settings: frozenset[str] = frozenset()
    model: str | None = None
    packages: tuple[str, ...] = ()
    weights: Callable[[EngineChoice], tuple[Weights, ...]] = _no_weights
