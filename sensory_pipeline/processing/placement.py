"""Decides how many engine processes of each stage a device gets, with how many threads; locks devices for a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from socket import gethostname

from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.device_lock import device_lock
from sensory_pipeline.engines.device_memory import free_bytes
from sensory_pipeline.engines.devices import CPU, Device, DeviceKind
from sensory_pipeline.engines.selection import light
from sensory_pipeline.engines.spec import EngineChoice
from sensory_pipeline.settings import Settings, cores, visible_devices

SIDE_BY_SIDE_BYTES = {DeviceKind.CPU: 8 << 30, DeviceKind.CUDA: 16 << 30}
"""Free memory of a device from which stages run side by side, each with its models loaded.

On a CPU, the largest published models and their libraries take 6 GB (docs/engines.md); on a GPU, where batches are
larger, this has not been measured.
"""
LIGHT_BYTES = 4 << 30
"""The same on a CPU for engines without torch, which take 2 GB (docs/engines.md)."""


def processes_per_stage(
    settings: Settings, wanted: Sequence[EngineChoice], devices: Sequence[Device]
) -> Mapping[Stage, int] | None:
    """Return the number of processes of each stage on each device.

    Args:
        settings: The settings.
        wanted: The engines that the processes will have.
        devices: The devices.

    Returns:
        The numbers; None if all stages share processes and run one after the other.
    """
    side_by_side = settings.side_by_side
    if side_by_side is None:
        side_by_side = all(_fits(device, wanted, _on_cpu(devices)) for device in devices)
    if not side_by_side:
        return None
    decoding = max(1, cores() // (4 * len(devices)))
    return {stage: decoding if stage is Stage.NORMALIZED_AUDIO else settings.workers or 1 for stage in Stage}


def threads_per_process(devices: Sequence[Device]) -> int:
    """Return the number of threads of a process if stages run side by side.

    Three stages compute at once on each device, and threads that wait for a core would slow down the others.

    Args:
        devices: The devices.
    """
    return max(1, cores() // (3 * max(1, _on_cpu(devices))))


@contextmanager
def alone_on(devices: Sequence[Device], settings: Settings) -> Iterator[None]:
    """Lock GPUs, and virtual devices that stand for them, for one run or service; the CPU is shared.

    Args:
        devices: The devices.
        settings: The settings; the locks are in their lake.

    Raises:
        ConfigurationError: CUDA_VISIBLE_DEVICES hides a device.
    """
    with ExitStack() as locks:
        # in one order for all, or two services could wait for each other
        for device in sorted(set(devices) - {CPU}, key=lambda device: device.name):
            # per host: another host that shares the lake's folder has its own device of that name
            folder = settings.lake / "locks" / gethostname()
            locks.enter_context(device_lock(device, folder, visible=visible_devices()))
        yield


def _fits(device: Device, wanted: Sequence[EngineChoice], on_cpu: int) -> bool:
    """Whether a device has memory for the models of all stages; CPUs under several names share theirs."""
    if device.kind is DeviceKind.CUDA:
        needed = SIDE_BY_SIDE_BYTES[device.kind]
    else:
        needed = on_cpu * (LIGHT_BYTES if all(map(light, wanted)) else SIDE_BY_SIDE_BYTES[device.kind])
    return free_bytes(device, visible_devices()) >= needed


def _on_cpu(devices: Sequence[Device]) -> int:
    return sum(device.kind is DeviceKind.CPU for device in devices)
