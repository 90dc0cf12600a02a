"""The name of a GPU, and how much memory any device has left. Imports no framework."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import psutil

from sensory_pipeline.engines.device_discovery import NVIDIA_SMI_LIMIT_S, gpu_id
from sensory_pipeline.engines.devices import Device, DeviceKind

_CGROUP = Path("/sys/fs/cgroup")

log = logging.getLogger(__name__)


def free_bytes(device: Device, visible: str | None) -> int:
    """Bytes of memory free now on a CPU or a GPU; 0 if nvidia-smi does not say.

    Args:
        device: As this process numbers it.
        visible: CUDA_VISIBLE_DEVICES, which determines that number.
    """
    if device.kind is DeviceKind.CPU:
        return min(psutil.virtual_memory().available, _left_to_the_container())
    answer = _queried(device, visible, "memory.free")
    return int(answer) << 20 if answer.isdecimal() else 0


def gpu_name(device: Device, visible: str | None) -> str:
    """The model of a GPU and its memory, such as "NVIDIA H100 80GB HBM3, 81559"; else the device's own name."""
    return _queried(device, visible, "name,memory.total") or device.name


def _left_to_the_container() -> int:
    """Bytes left below the container's limit (cgroup v2); a huge number if it has none."""
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        return limit - int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no cgroup, or the word "max"
        return sys.maxsize


def _queried(device: Device, visible: str | None, fields: str) -> str:
    """Values as nvidia-smi writes them, memory in MiB; empty if it fails."""
    query = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits", f"--id={gpu_id(device, visible)}"]
    try:
        return subprocess.run(
            query, capture_output=True, text=True, timeout=NVIDIA_SMI_LIMIT_S, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("nvidia-smi does not report the %s of %s: %s", fields, device.name, error)
        return ""
