"""What the registry knows of an engine, and what an engine is made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import SecretStr

from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.activity import ActivityLog
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.catalogue.fetch import SILENT, Report, fetch
from sensory_pipeline.engines.catalogue.store import HOME, Store
from sensory_pipeline.engines.devices import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineChoice:
    """Which engines were chosen, and the settings they read, under the names they have in `Settings`.

    stt, diarization, emotion: names in the registry. stereo: each channel is a speaker, so nobody is told apart.
    models: the folder of fetched models, None for that in the user's home. visible_devices: CUDA_VISIBLE_DEVICES;
    device: the one that the run was given, None for any there is.
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
        """Where fetched models lie."""
        return Store(self.models) if self.models else HOME


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineContext:
    """What the engines of one process share. devices: that they may use, the best first."""

    devices: tuple[Device, ...]
    cache: ModelCache
    activity: ActivityLog


class Weights(Protocol):
    """A model that an engine needs on this machine. name: as `sensory models fetch` takes it."""

    @property
    def name(self) -> str: ...

    def here(self) -> bool:
        """Whether nothing would have to be downloaded; no network is asked.

        Raises ConfigurationError for what names no model.
        """
        ...

    def fetch(self, report: Report = SILENT) -> Path:
        """Where it lies, downloaded unless it is here. Raises ConfigurationError when it cannot be had."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueWeights:
    """Weights that the catalogue lists. given: a folder or an archive to take them from."""

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
    """One engine, as all who choose, fetch, check and document engines see it.

    Attributes:
        name: By which settings choose it.
        stage: That it does.
        about: What it is, for the documents.
        make: Makes it; cheap, since its model loads with its first job.
        settings: That it reads, by their names in `Settings` and `EngineChoice`.
        model: Of these the one that names its model; where it is set, it chooses the engine.
        packages: That it needs beyond the project's own; the extra `models` installs them.
        weights: That it needs on this machine for a choice.
    """

    name: str
    stage: Stage
    about: str
    make: Callable[[EngineChoice, EngineContext], Any]
    settings: frozenset[str] = frozenset()
    model: str | None = None
    packages: tuple[str, ...] = ()
    weights: Callable[[EngineChoice], tuple[Weights, ...]] = _no_weights
