"""One run at a time on a device."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sensory_pipeline.engines.device_discovery import gpu_id
from sensory_pipeline.engines.devices import Device, DeviceKind
from sensory_pipeline.storage.lock import held


@contextmanager
def device_lock(device: Device, folder: Path, *, visible: str | None) -> Iterator[None]:
    """Have the device exclusively among the processes that lock in `folder`; waits until it is free.

    The kernel releases the lock when its holder dies.

    Args:
        device: As this process numbers it.
        folder: The same for all processes.
        visible: CUDA_VISIBLE_DEVICES, which gives the same GPU other numbers in other processes. If one process lists
            numbers in it, all should.

    Raises:
        ConfigurationError: CUDA_VISIBLE_DEVICES hides the device.
    """
    label = device.name if device.kind is DeviceKind.CPU else f"{device.kind}:{gpu_id(device, visible)}"
    with held(folder / f"{re.sub('[^0-9A-Za-z-]', '-', label)}.lock", what=f"device {device.name}"):
        yield
