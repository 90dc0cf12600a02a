"""Where models run: a device, how one is chosen, and with which precision."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from sensory_pipeline.core.errors import ConfigurationError


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


def choose(requested: str, available: Sequence[Device]) -> Device:
    """The device that a setting asks for. Only "auto" falls back to the CPU.

    >>> choose("auto", [Device.parse("cuda:1"), CPU]).name
    'cuda:1'

    Args:
        requested: "auto" for the best there is; "cpu" or "cuda" for the first of that kind; or one by number.
        available: What this process may use, the best first, never empty.

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
