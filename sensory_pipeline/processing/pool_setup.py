"""Builds the pool of engine processes from settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from sensory_pipeline.engines.devices import Device
from sensory_pipeline.engines.missing_models import fetch_missing
from sensory_pipeline.engines.selection import EngineFactory, Engines, EngineSets, engine_sets
from sensory_pipeline.engines.spec import EngineChoice
from sensory_pipeline.engines.stt.whisper_models import MOST_WORKERS
from sensory_pipeline.processing.placement import processes_per_stage, threads_per_process
from sensory_pipeline.processing.workers.pool import EnginePool
from sensory_pipeline.settings import Settings, cores


def engine_pool(
    settings: Settings,
    wanted: Sequence[EngineChoice],
    devices: Sequence[Device],
    engines: EngineFactory | None,
    *,
    standby: bool = False,
) -> tuple[EnginePool, EngineSets]:
    """Create a pool for these engines, and a factory of their sets; download missing models.

    Args:
        settings: The settings.
        wanted: The engines.
        devices: Where they run.
        engines: Engines instead of those of the settings.
        standby: As for EnginePool.
    """
    per_stage = processes_per_stage(settings, wanted, devices)
    threads = threads_per_process(devices) if per_stage else None
    decoding_threads = whisper_threads(settings, threads or cores())
    if engines is None:
        # here and not in the engine process, where a download would look like a hang
        for choice in wanted:
            fetch_missing(choice)
    factories: dict[str, EngineSets] = {}
    for device in devices:
        chosen = [replace(choice, device=device.name, whisper_cpu_threads=decoding_threads) for choice in wanted]
        alike = None if engines is None else partial(same_engines, engines, len(chosen))
        factories[device.name] = alike or partial(engine_sets, chosen)
    pool = EnginePool(
        factories,
        size=settings.workers or 1,
        memory_mb=settings.worker_memory_mb,
        per_stage=per_stage,
        threads=threads,
        log_level=settings.log_level,
        standby=standby,
    )
    return pool, factories[devices[0].name]


def same_engines(engines: EngineFactory, count: int) -> list[Engines]:
    """Return a set of these engines for each choice."""
    return [engines() for _ in range(count)]


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
