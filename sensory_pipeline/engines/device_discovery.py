"""Which devices this machine has, and which of them runs use."""

from __future__ import annotations

import logging
import re
import subprocess
from collections.abc import Sequence

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.devices import CPU, Device, DeviceKind

log = logging.getLogger(__name__)

NVIDIA_SMI_LIMIT_S = 20.0
"""Seconds nvidia-smi may take; without its persistence daemon it takes several on a host with many GPUs."""


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
