"""What is installed, what would run here, and how to get what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.base import EngineInfo
from sensory_pipeline.engines.devices import CPU, nvidia_smi_gpus
from sensory_pipeline.engines.selection import EngineChoice, chosen_engines

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
    """Packages, devices, and the three engines that the settings choose. Loads no model."""
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
    yield _engine("transcription", choice.stt, lambda: engines.transcriber.info)
    yield _engine("diarization", choice.diarization, lambda: engines.diarizer.info)
    yield _engine("emotion", choice.emotion, lambda: engines.classifier.info)


def _engine(task: str, name: str, info: Callable[[], EngineInfo]) -> Finding:
    try:
        found = info()
    except ConfigurationError as error:
        return Finding(subject=task, state=f"{name}: no model", remedy=str(error))
    return Finding(subject=task, state=f"{found.engine}, model {found.model}, revision {found.revision}")
