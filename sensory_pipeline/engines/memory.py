"""How much memory a device has left."""

from __future__ import annotations

import logging
import subprocess

import psutil

from sensory_pipeline.engines.devices import NVIDIA_SMI_LIMIT_S, Device, DeviceKind

log = logging.getLogger(__name__)


def free_bytes(device: Device, visible: str | None) -> int:
    """Bytes that nobody uses now, on a CPU or a GPU; 0 where nvidia-smi does not tell.

    visible: CUDA_VISIBLE_DEVICES, by which this process numbers GPUs.
    """
    if device.kind is DeviceKind.CPU:
        return psutil.virtual_memory().available
    names = visible.split(",") if visible else []
    name = names[device.ordinal].strip() if device.ordinal < len(names) else str(device.ordinal)
    query = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits", f"--id={name}"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=NVIDIA_SMI_LIMIT_S, check=True).stdout
        return int(told.split()[0]) << 20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        log.warning("nvidia-smi does not tell how much memory %s has left: %s", device.name, error)
        return 0
