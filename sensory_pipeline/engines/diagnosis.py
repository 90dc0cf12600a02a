"""What is installed, what would run here, and how to get what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.core.process_request import ProcessRequest
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines import cublas
from sensory_pipeline.engines.base import EngineInfo
from sensory_pipeline.engines.device_discovery import nvidia_smi_gpus
from sensory_pipeline.engines.devices import CPU
from sensory_pipeline.engines.registry import ENGINES
from sensory_pipeline.engines.request_support import check
from sensory_pipeline.engines.selection import chosen_engines, specs
from sensory_pipeline.engines.spec import EngineChoice, EngineSpec

_INSTALL_MODELS = "make models"
_INSTALL = "pip install -e '.[pipeline]'"
PACKAGES = {
    "dagster": _INSTALL,
    "duckdb": _INSTALL,
    "faster-whisper": _INSTALL,
    "onnxruntime": _INSTALL,
    **{package: _INSTALL_MODELS for spec in ENGINES for package in spec.packages},
}
"""Packages, and the command that installs each."""

SUBJECTS = {Stage.TRANSCRIPTS: "transcription", Stage.DIARIZATION: "diarization", Stage.EMOTIONS: "emotion"}
"""Names of the stages for users."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of a diagnosis.

    Attributes:
        subject: What was examined.
        state: What was found.
        remedy: What to do about it; None if all is well.
    """

    subject: str
    state: str
    remedy: str | None = None


def diagnose(choice: EngineChoice, request: ProcessRequest) -> Iterator[Finding]:
    """Examine packages, devices, and the three engines that the settings choose. Loads no model, uses no network.

    Args:
        choice: The engines and their settings.
        request: What the engines would be asked.
    """
    for package, remedy in PACKAGES.items():
        users = ", ".join(spec.name for spec in ENGINES if package in spec.packages)
        subject = f"{package} ({users})" if users else package
        installed = _installed(package)
        optional = f"{remedy}, if you want {users}" if users else remedy
        yield Finding(subject=subject, state=installed or "not installed", remedy=None if installed else optional)
    gpus = nvidia_smi_gpus(choice.visible_devices)
    yield Finding(subject="devices", state=", ".join(device.name for device in (*gpus, CPU)))
    yield _cublas(wanted=bool(gpus))
    try:
        engines = chosen_engines(choice)
    except ConfigurationError as error:
        yield Finding(subject="engines", state="cannot be made", remedy=str(error))
        return
    infos: dict[Stage, Callable[[], EngineInfo]] = {
        Stage.TRANSCRIPTS: lambda: engines.transcriber.info,
        Stage.DIARIZATION: lambda: engines.diarizer.info,
        Stage.EMOTIONS: lambda: engines.classifier.info,
    }
    for stage, spec in specs(choice).items():
        finding = _engine(SUBJECTS[stage], spec, choice, infos[stage])
        if stage is Stage.TRANSCRIPTS and finding.remedy is None:
            finding = _checked(finding, request, engines.transcriber.info)
        yield finding


def _cublas(*, wanted: bool) -> Finding:
    subject = "cuBLAS 12 (whisper on a GPU)"
    try:
        return Finding(subject=subject, state=f"loads, {cublas.load_cublas()}")
    except ConfigurationError as error:
        state = "cannot be loaded" if wanted else "cannot be loaded; not needed without a GPU"
        return Finding(subject=subject, state=state, remedy=str(error) if wanted else None)


def _engine(subject: str, spec: EngineSpec, choice: EngineChoice, info: Callable[[], EngineInfo]) -> Finding:
    absent = [package for package in spec.packages if _installed(package) is None]
    if absent:
        return Finding(subject=subject, state=f"{spec.name}: needs {', '.join(absent)}", remedy=PACKAGES[absent[0]])
    try:
        gone = [needed.name for needed in spec.weights(choice) if not needed.here()]
        if gone:
            return Finding(
                subject=subject,
                state=f"{spec.name}: {', '.join(gone)} not on this machine",
                remedy=f"sensory models fetch {' '.join(gone)} (or the first recording fetches it)",
            )
        found = info()
    except ConfigurationError as error:
        return Finding(subject=subject, state=f"{spec.name}: no model", remedy=str(error))
    return Finding(
        subject=subject, state=f"{found.engine}, model {found.model}, revision {found.revision}, on {found.device}"
    )


def _checked(finding: Finding, request: ProcessRequest, transcriber: EngineInfo) -> Finding:
    try:
        check(request, transcriber)
    except ConfigurationError as error:
        return replace(finding, remedy=str(error))
    return finding


def _installed(package: str) -> str | None:
    """The version of a package; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
