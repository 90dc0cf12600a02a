"""Where models run: which devices there are, how one is chosen, and with which precision."""

from __future__ import annotations

import importlib
import logging
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from sensory_pipeline.core.errors import ConfigurationError

log = logging.getLogger(__name__)

NVIDIA_SMI_LIMIT_S = 20.0
"""Seconds nvidia-smi may take; without its persistence daemon it takes several on a host with many GPUs."""


class DeviceKind(StrEnum):
    """The names that PyTorch and CTranslate2 share."""

    CPU = "cpu"
    CUDA = "cuda"


class ComputeType(StrEnum):
    """Precision of weights and arithmetic, by CTranslate2's names.

    int8_float16 and int8 hold the large matrices in 8 bits, the rest in float16 or as it was saved.
    """

    FLOAT16 = "float16"
    INT8_FLOAT16 = "int8_float16"
    INT8 = "int8"
    FLOAT32 = "float32"


COMPUTE_TYPES: dict[DeviceKind, tuple[ComputeType, ...]] = {
    DeviceKind.CPU: (ComputeType.INT8, ComputeType.FLOAT32),
    DeviceKind.CUDA: (ComputeType.FLOAT16, ComputeType.INT8_FLOAT16, ComputeType.INT8, ComputeType.FLOAT32),
}
"""The compute types that a device supports, its default first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One GPU as this process numbers it, the CPU (index None), or a virtual CPU.

    Virtual CPUs, "cpu:0", "cpu:1" and so on, are the same processor under several names: they let work
    be spread over devices where there is no GPU.

    Attributes:
        kind: CPU or GPU.
        index: Its number.

    Raises:
        ValueError: A GPU has no index.
    """

    kind: DeviceKind
    index: int | None = None

    def __post_init__(self) -> None:
        if self.index is None and self.kind is DeviceKind.CUDA:
            raise ValueError("a GPU needs an index")

    @classmethod
    def parse(cls, name: str) -> Self:
        """The device with a name: "cpu", "cpu:1", "cuda:1", or "cuda" for the first GPU.

        >>> Device.parse("cuda").name
        'cuda:0'

        Raises:
            ConfigurationError: It is no name of a device.
        """
        match = re.fullmatch(r"(cpu|cuda)(?::([0-9]+))?", name.strip().lower())
        if match is None:
            raise ConfigurationError(f"{name!r} is not a device; write cpu, cuda, or one by number: cuda:1")
        kind = DeviceKind(match[1])
        if match[2] is None:
            return cls(kind=kind, index=None if kind is DeviceKind.CPU else 0)
        return cls(kind=kind, index=int(match[2]))

    @property
    def name(self) -> str:
        """The name that `parse` reads and a run's tag holds."""
        return str(self.kind) if self.index is None else f"{self.kind}:{self.index}"

    @property
    def ordinal(self) -> int:
        """Its number among the devices that really exist: CTranslate2's `device_index`."""
        return self.index if self.kind is DeviceKind.CUDA and self.index is not None else 0

    @property
    def torch_name(self) -> str:
        """The name for `torch.device`."""
        return self.name if self.kind is DeviceKind.CUDA else str(self.kind)

    @property
    def default_compute_type(self) -> ComputeType:
        return COMPUTE_TYPES[self.kind][0]


CPU = Device(kind=DeviceKind.CPU)


def discover(visible: str | None) -> tuple[Device, ...]:
    """The devices this process can use, the best first: its GPUs, then always the CPU.

    If PyTorch is installed, it is asked, since it knows whether this build and driver can use a GPU at all. (It reads
    CUDA_VISIBLE_DEVICES itself, and takes seconds to import.) Otherwise nvidia-smi is asked.

    Args:
        visible: The value of CUDA_VISIBLE_DEVICES; None if it is unset.
    """
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return (*nvidia_smi_gpus(visible), CPU)
    # device_count alone asks the driver's library, and does not show whether CUDA works
    return (*_gpus(torch.cuda.device_count() if torch.cuda.is_available() else 0), CPU)


def nvidia_smi_gpus(visible: str | None) -> tuple[Device, ...]:
    """The GPUs that a process with CUDA_VISIBLE_DEVICES=`visible` sees; none if nvidia-smi knows none.

    The variable lists numbers, or UUIDs or their beginnings. As in PyTorch, entries after an unknown one
    are ignored, and a GPU listed twice hides all. Imports no framework.
    """
    try:
        listing = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=NVIDIA_SMI_LIMIT_S, check=True
        ).stdout
    except (FileNotFoundError, PermissionError):
        return ()
    except subprocess.TimeoutExpired:
        log.warning("nvidia-smi gave no answer in %.0f s: going on without a GPU", NVIDIA_SMI_LIMIT_S)
        return ()
    except subprocess.CalledProcessError as error:
        message = (error.stderr or error.stdout).strip()
        log.warning("nvidia-smi failed (%s): going on without a GPU", message)
        return ()
    gpus = re.findall(r"\(UUID: (GPU-[^)]+)\)", listing)
    if visible is None:
        return _gpus(len(gpus))
    seen: list[str] = []
    for token in _tokens(visible):
        uuid = _resolve(token, gpus, slices=re.findall(r"\(UUID: (MIG-[^)]+)\)", listing))
        if uuid is None:
            break
        seen.append(uuid)
    return _gpus(len(seen) if len(set(seen)) == len(seen) else 0)


def run_devices(requested: str, visible: str | None, *, elsewhere: bool = False) -> tuple[Device, ...]:
    """The devices that runs are spread over; one run at a time on each.

    >>> [device.name for device in run_devices("cpu:0, cpu:1", None)]
    ['cpu:0', 'cpu:1']

    Args:
        requested: "auto" for every GPU, or the CPU if there is none; a number of GPUs; or names separated by commas
            ("cuda:0,cuda:2", "cpu:0,cpu:1").
        visible: CUDA_VISIBLE_DEVICES.
        elsewhere: Whether the devices belong to other hosts, so that they are not checked here.

    Raises:
        ConfigurationError: A GPU is not there, or a device is named twice.
    """
    if elsewhere and requested.strip() == "auto":
        raise ConfigurationError("SENSORY_DEVICES is auto, and the devices are other hosts': say how many there are")
    gpus = () if elsewhere or requested.strip().startswith("cpu") else nvidia_smi_gpus(visible)
    if requested.strip() == "auto":
        return gpus or (CPU,)
    if requested.strip().isdecimal():
        devices = _gpus(int(requested))
    else:
        try:
            devices = tuple(Device.parse(name) for name in requested.split(","))
        except ConfigurationError as error:
            raise ConfigurationError(f"SENSORY_DEVICES is {requested!r}: {error}") from error
    gone = [device for device in devices if device.kind is DeviceKind.CUDA and device not in gpus and not elsewhere]
    if gone or not devices or len(set(devices)) < len(devices):
        there = ", ".join(gpu.name for gpu in gpus) or "none"
        raise ConfigurationError(
            f"SENSORY_DEVICES is {requested!r}, and the GPUs here are: {there}. Write auto, a number of GPUs, or "
            "names separated by commas, none of them twice: cuda:0,cuda:1"
        )
    return devices


def choose(requested: str, available: Sequence[Device]) -> Device:
    """The device that a setting asks for. Only "auto" falls back to the CPU.

    >>> choose("auto", [Device.parse("cuda:1"), CPU]).name
    'cuda:1'

    Args:
        requested: "auto" for the best there is; "cpu" or "cuda" for the first of that kind; or one by number.
        available: What this process may use, the best first, never empty: all that `discover` finds, or the one device
            of its run's tag.

    Raises:
        ConfigurationError: It is a GPU that is not there.
    """
    wish = requested.strip().lower()
    if wish == "auto":
        return available[0]
    device = Device.parse(wish)
    candidates = [other for other in available if other == device or wish == other.kind]
    if candidates:
        return candidates[0]
    if device.kind is DeviceKind.CPU:
        return device
    there = ", ".join(other.name for other in available)
    raise ConfigurationError(
        f"there is no {device.name if ':' in wish else 'GPU'} for this process, only {there}: ask for auto or cpu, "
        "or check the driver (nvidia-smi) and CUDA_VISIBLE_DEVICES"
    )


def choose_compute_type(requested: str, device: Device) -> ComputeType:
    """The compute type of a model on the device. It may be slow on an old GPU; only the engine's library knows.

    Args:
        requested: A compute type, or "auto" for the device's default.
        device: Where the model runs.

    Raises:
        ConfigurationError: The device does not support it; the message names those it supports.
    """
    wish = requested.strip().lower()
    if wish == "auto":
        return device.default_compute_type
    possible = COMPUTE_TYPES[device.kind]
    for compute_type in possible:
        if wish == compute_type:
            return compute_type
    raise ConfigurationError(
        f"{device.name} does not support {wish!r}, only {', '.join(possible)}; auto is {possible[0]}"
    )


def gpu_id(device: Device, visible: str | None) -> str:
    """The id by which nvidia-smi and other processes know a GPU: its number on this host, or the beginning of its UUID.

    >>> gpu_id(Device.parse("cuda:1"), "5,3")
    '3'

    Args:
        device: As this process numbers it.
        visible: CUDA_VISIBLE_DEVICES, which determines that number.

    Raises:
        ConfigurationError: CUDA_VISIBLE_DEVICES hides the GPU.
    """
    if visible is None:
        return str(device.ordinal)
    tokens = _tokens(visible)
    if device.ordinal >= len(tokens):
        raise ConfigurationError(f"{device.name} is hidden by CUDA_VISIBLE_DEVICES={visible!r}")
    return tokens[device.ordinal]


def _gpus(count: int) -> tuple[Device, ...]:
    return tuple(Device(kind=DeviceKind.CUDA, index=index) for index in range(count))


def _tokens(visible: str) -> list[str]:
    return [token.strip() for token in visible.split(",") if token.strip()]


def _resolve(token: str, gpus: Sequence[str], slices: Sequence[str]) -> str | None:
    if token.isdecimal():
        return gpus[int(token)] if int(token) < len(gpus) else None
    matching = [uuid for uuid in (*gpus, *slices) if uuid.lower().startswith(token.lower())]
    return matching[0] if len(matching) == 1 else None
