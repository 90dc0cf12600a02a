"""What is installed, what would run here, and how to get what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.core.requests import ProcessRequest
from sensory_pipeline.engines import cuda
from sensory_pipeline.engines.base import EngineInfo
from sensory_pipeline.engines.devices import CPU, nvidia_smi_gpus
from sensory_pipeline.engines.selection import EngineChoice, chosen_engines
from sensory_pipeline.processing.models import missing
from sensory_pipeline.processing.plan import check

_INSTALL_MODELS = "make models"
_INSTALL = "pip install -e ."
PACKAGES = {
    "dagster": _INSTALL,
    "duckdb": _INSTALL,
    "pocketsphinx": _INSTALL,
    "faster-whisper": _INSTALL,
    "torch": _INSTALL_MODELS,
    "pyannote.audio": _INSTALL_MODELS,
}
"""And what installs each."""

NEEDS = {
    "pyannote": ("torch", "pyannote.audio"),
    "gigaam": ("torch",),
}
"""Packages without which an engine does not run; those not named come with the project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """remedy: what to do about it; None where all is well."""

    subject: str
    state: str
    remedy: str | None = None


def diagnose(choice: EngineChoice, request: ProcessRequest) -> Iterator[Finding]:
    """Packages, devices, and the three engines that the settings choose. Loads no model, asks no network.

    request: what they would be asked.
    """
    for package, remedy in PACKAGES.items():
        users = ", ".join(engine for engine, needed in NEEDS.items() if package in needed)
        subject = f"{package} ({users})" if users else package
        installed = _installed(package)
        yield Finding(subject=subject, state=installed or "not installed", remedy=None if installed else remedy)
    gpus = nvidia_smi_gpus(choice.visible_devices)
    yield Finding(subject="devices", state=", ".join(device.name for device in (*gpus, CPU)))
    yield _cublas(wanted=bool(gpus))
    try:
        engines = chosen_engines(choice)
    except ConfigurationError as error:
        yield Finding(subject="engines", state="cannot be made", remedy=str(error))
        return
    transcription = _engine("transcription", choice.stt, choice.whisper_model, lambda: engines.transcriber.info)
    if transcription.remedy is None:
        try:
            check(request, engines.transcriber.info)
        except ConfigurationError as error:
            transcription = replace(transcription, remedy=str(error))
    yield transcription
    yield _engine("diarization", choice.diarization, choice.pyannote_model, lambda: engines.diarizer.info)
    yield _engine("emotion", choice.emotion, choice.gigaam_model, lambda: engines.classifier.info)


def _cublas(*, wanted: bool) -> Finding:
    subject = "cuBLAS 12 (whisper on a GPU)"
    try:
        return Finding(subject=subject, state=f"loads, {cuda.load_cublas()}")
    except ConfigurationError as error:
        state = "cannot be loaded" if wanted else "cannot be loaded; not needed without a GPU"
        return Finding(subject=subject, state=state, remedy=str(error) if wanted else None)


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
    absent = [package for package in NEEDS.get(name, ()) if _installed(package) is None]
    if absent:
        return Finding(subject=task, state=f"{name}: needs {', '.join(absent)}", remedy=PACKAGES[absent[0]])
    return Finding(
        subject=task, state=f"{found.engine}, model {found.model}, revision {found.revision}, on {found.device}"
    )


def _installed(package: str) -> str | None:
    """Its version."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
