"""What is installed, what would run here, and how to get what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.base import EngineInfo
from sensory_pipeline.engines.devices import CPU, nvidia_smi_gpus
from sensory_pipeline.engines.selection import EngineChoice, chosen_engines
from sensory_pipeline.processing.models import missing

INSTALL = "pip install 'sensory-pipeline[models]'"
PACKAGES = {
    "dagster": "pip install sensory-pipeline",
    "duckdb": "pip install sensory-pipeline",
    "pocketsphinx": "pip install sensory-pipeline",
    "faster-whisper": "pip install sensory-pipeline",
    "torch": INSTALL,
    "pyannote.audio": INSTALL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """remedy: what to do about it; None where all is well."""

    subject: str
    state: str
    remedy: str | None = None


def diagnose(choice: EngineChoice) -> Iterator[Finding]:
    """Packages, devices, and the three engines that the settings choose. Loads no model, asks no network."""
    for package, remedy in PACKAGES.items():
        try:
            yield Finding(subject=package, state=version(package))
        except PackageNotFoundError:
            yield Finding(subject=package, state="not installed", remedy=remedy)
    devices = (*nvidia_smi_gpus(choice.visible_devices), CPU)
    yield Finding(subject="devices", state=", ".join(device.name for device in devices))
    try:
        engines = chosen_engines(choice)
    except ConfigurationError as error:
        yield Finding(subject="engines", state="cannot be made", remedy=str(error))
        return
    yield _engine("transcription", choice.stt, choice.whisper_model, lambda: engines.transcriber.info)
    yield _engine("diarization", choice.diarization, choice.pyannote_model, lambda: engines.diarizer.info)
    yield _engine("emotion", choice.emotion, choice.gigaam_model, lambda: engines.classifier.info)


def _engine(task: str, name: str, model: str, info: Callable[[], EngineInfo]) -> Finding:
    try:
        if missing(name, model):
            return Finding(
                subject=task,
                state=f"{name}: model {model} is not on this machine",
                remedy=f"sensory models fetch {name}:{model} (or the first recording downloads it)",
            )
        found = info()
    except ConfigurationError as error:
        return Finding(subject=task, state=f"{name}: no model", remedy=str(error))
    return Finding(
        subject=task, state=f"{found.engine}, model {found.model}, revision {found.revision}, on {found.device}"
    )
