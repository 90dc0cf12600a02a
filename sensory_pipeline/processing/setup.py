"""From settings to something that works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial

from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.cache import CacheSettings
from sensory_pipeline.engines.devices import CPU, Device, device_lock, run_devices
from sensory_pipeline.engines.selection import EngineChoice, EngineFactory, chosen_engines
from sensory_pipeline.processing.models import fetch_missing
from sensory_pipeline.processing.pipeline import Limits, Processor
from sensory_pipeline.processing.plan import Plan, make_plan
from sensory_pipeline.processing.pool import EnginePool
from sensory_pipeline.settings import Settings, cores, visible_devices


@contextmanager
def processor(
    settings: Settings,
    *,
    device: Device | None = None,
    engines: EngineFactory | None = None,
    progress: Callable[[Stage, str], None] = lambda _stage, _recording: None,
) -> Iterator[Processor]:
    """Engines, plan and limits as the settings say; the engine processes end with the `with`.

    device: the one the run was given, which it then has to itself; the first of the settings' when
    None. engines: instead of those the settings choose.
    """
    request = settings.request()
    mine = device or run_devices(settings.devices, visible_devices())[0]
    choice = replace(engine_choice(settings), device=mine.name)
    if engines is None:
        # here, where nobody takes the silence of a download for a hang
        fetch_missing(choice)
    factory = engines or partial(chosen_engines, choice)
    size = settings.workers or (cores() if choice.offline else 1)
    with _alone_on(mine, settings), EnginePool(factory, size=size, memory_mb=settings.worker_memory_mb) as pool:
        yield Processor(
            pool=pool,
            plan=make_plan(request, factory()),
            limits=Limits(
                run_audio_hours=settings.run_audio_hours,
                max_audio_hours=settings.max_audio_hours,
                recording_timeout_s=settings.recording_timeout_s,
                audio_cache_gb=settings.audio_cache_gb,
            ),
            progress=progress,
        )


def current_plan(settings: Settings) -> Plan:
    """What the settings ask for, without anything that could work on it."""
    return make_plan(settings.request(), chosen_engines(engine_choice(settings)))


def _alone_on(device: Device, settings: Settings) -> AbstractContextManager[None]:
    """The CPU is everybody's; a GPU, and a virtual device that stands for one, is one run's."""
    if device == CPU:
        return nullcontext()
    return device_lock(device, settings.lake / "locks", visible=visible_devices())


def engine_choice(settings: Settings, *, stereo: bool | None = None) -> EngineChoice:
    """What the settings choose. stereo: instead of theirs."""
    defaults = EngineChoice()
    return EngineChoice(
        stt=settings.stt_engine,
        diarization=settings.diarization_engine,
        emotion=settings.emotion_engine,
        stereo=settings.stereo if stereo is None else stereo,
        whisper_model=settings.whisper_model_size or settings.default_model_name,
        whisper_device=settings.whisper_device,
        whisper_compute_type=settings.whisper_compute_type,
        whisper_cpu_threads=settings.whisper_cpu_threads,
        whisper_batch_size=settings.whisper_batch_size,
        pyannote_model=settings.pyannote_model or defaults.pyannote_model,
        pyannote_device="auto" if settings.pyannote_use_gpu else "cpu",
        pyannote_trusted_classes=settings.pyannote_trusted_classes,
        pyannote_token=settings.pyannote_auth_token,
        gigaam_model=settings.gigaam_model_name or defaults.gigaam_model,
        visible_devices=visible_devices(),
        cache=CacheSettings(
            max_models=settings.cache_models,
            max_bytes=None if settings.cache_gb is None else int(settings.cache_gb * 1e9),
            ttl_s=settings.cache_ttl_s,
        ),
    )
