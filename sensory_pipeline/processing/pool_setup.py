"""Builds the pool of engine processes: how many there are, with how many threads, and who may use the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from socket import gethostname

from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.device_lock import device_lock
from sensory_pipeline.engines.devices import CPU, Device, DeviceKind
from sensory_pipeline.engines.gpu import free_bytes
from sensory_pipeline.engines.prefetch import fetch_missing
from sensory_pipeline.engines.selection import EngineFactory, Engines, EngineSets, engine_sets, light
from sensory_pipeline.engines.spec import EngineChoice
from sensory_pipeline.engines.stt.whisper_models import MOST_WORKERS
from sensory_pipeline.processing.workers.pool import EnginePool
from sensory_pipeline.settings import Settings, cores, visible_devices

SIDE_BY_SIDE_BYTES = {DeviceKind.CPU: 8 << 30, DeviceKind.CUDA: 16 << 30}
"""Free memory of a device from which stages run side by side, each with its models loaded.

On a CPU, the largest published models and their libraries take 6 GB (docs/engines.md); on a GPU, where batches are
larger, this has not been measured.
"""
LIGHT_BYTES = 4 << 30
"""The same on a CPU for engines without torch, which take 2 GB (docs/engines.md)."""


def engine_pool(
    settings: Settings, wanted: Sequence[EngineChoice], device: Device, engines: EngineFactory | None
) -> tuple[EnginePool, EngineSets]:
    """Create a pool for these engines, and a factory of their sets; download missing models."""
    per_stage = _per_stage(settings, wanted, device)
    # three stages compute at once, and threads that wait for a core would slow down the others
    threads = max(1, cores() // 3) if per_stage else None
    decoding_threads = whisper_threads(settings, threads or cores())
    chosen = [replace(choice, device=device.name, whisper_cpu_threads=decoding_threads) for choice in wanted]
    if engines is None:
        # here and not in the engine process, where a download would look like a hang
        for choice in chosen:
            fetch_missing(choice)
    sets = partial(engine_sets, chosen) if engines is None else partial(same_engines, engines, len(chosen))
    pool = EnginePool(
        sets,
        size=settings.workers or 1,
        memory_mb=settings.worker_memory_mb,
        per_stage=per_stage,
        threads=threads,
    )
    return pool, sets


def same_engines(engines: EngineFactory, count: int) -> list[Engines]:
    """Return a set of these engines for each choice."""
    return [engines() for _ in range(count)]


def _per_stage(settings: Settings, wanted: Sequence[EngineChoice], device: Device) -> Mapping[Stage, int] | None:
    """Return the number of processes of each stage; None if all stages share processes and run one after the other."""
    side_by_side = settings.side_by_side
    if side_by_side is None:
        lean = device.kind is DeviceKind.CPU and all(map(light, wanted))
        needed = LIGHT_BYTES if lean else SIDE_BY_SIDE_BYTES[device.kind]
        side_by_side = free_bytes(device, visible_devices()) >= needed
    if not side_by_side:
        return None
    return {
        stage: max(1, cores() // 4) if stage is Stage.NORMALIZED_AUDIO else settings.workers or 1 for stage in Stage
    }


def whisper_threads(settings: Settings, share: int) -> int:
    """Return the number of Whisper's threads on a CPU; 0 for its library's own choice.

    There is at least one thread per worker: workers do not wait for each other, so they use the cores that other stages
    leave idle.

    Args:
        settings: The settings.
        share: Number of cores for one stage.
    """
    if settings.whisper_cpu_threads or settings.whisper_batch_size == 1:
        return settings.whisper_cpu_threads
    return max(share, min(cores(), MOST_WORKERS))


def exclusive_use(device: Device, settings: Settings) -> AbstractContextManager[None]:
    """Lock a GPU, or a virtual device that stands for one, for one run; the CPU is shared."""
    if device == CPU:
        return nullcontext()
    # per host: another host that shares the lake's folder has its own device of that name
    return device_lock(device, settings.lake / "locks" / gethostname(), visible=visible_devices())
