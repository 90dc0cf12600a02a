"""Builds runners and shared engines from settings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sensory_pipeline.core.errors import ConfigurationError, UnsupportedLanguage
from sensory_pipeline.core.sources import Source
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.cache import CacheSettings
from sensory_pipeline.engines.device_discovery import run_devices
from sensory_pipeline.engines.devices import Device, DeviceKind
from sensory_pipeline.engines.registry import engine_named, engines_of
from sensory_pipeline.engines.selection import EngineFactory, Engines, engine_sets, light, specs
from sensory_pipeline.engines.spec import EngineChoice
from sensory_pipeline.processing.placement import alone_on
from sensory_pipeline.processing.plans import Plan, Plans, make_plan
from sensory_pipeline.processing.pool_setup import engine_pool, same_engines, whisper_threads
from sensory_pipeline.processing.runs.context import Limits, RunContext
from sensory_pipeline.processing.runs.runner import Runner
from sensory_pipeline.processing.workers.dispatcher import Dispatcher
from sensory_pipeline.processing.workers.future_executor import EngineExecutor
from sensory_pipeline.settings import Settings, cores, visible_devices
from sensory_pipeline.storage.s3_access import S3Access
from sensory_pipeline.storage.sources import prefix_of

log = logging.getLogger(__name__)

PATIENT_S, PROMPT_S = 600.0, 10.0
"""Seconds that a small backlog waits for more recordings, with and without torch: loading torch takes long.

A file that is still being written becomes pending again at each sweep, so it is also read as a whole.
"""


@contextmanager
def runner(
    settings: Settings,
    *,
    device: Device | None = None,
    engines: EngineFactory | None = None,
    progress: Callable[[Stage, str], None] = lambda _stage, _recording: None,
) -> Iterator[Runner]:
    """Start a runner with the engines, plans and limits of the settings; its engine processes end with the `with`.

    Args:
        settings: The settings.
        device: Device of the run, which it has to itself; the first of the settings if None.
        engines: Engines instead of those of the settings.
        progress: Called with the stage and the recording_id when a stage has finished a recording.

    Yields:
        The runner.
    """
    mine = device or run_devices(settings.devices, visible_devices())[0]
    pool, sets = engine_pool(settings, choices(settings), (mine,), engines)
    with alone_on((mine,), settings), pool:
        context = RunContext(
            dispatcher=Dispatcher(pool),
            plans=_plans(settings, sets()),
            limits=Limits(
                run_audio_hours=settings.run_audio_hours,
                max_audio_hours=settings.max_audio_hours,
                recording_timeout_s=settings.recording_timeout_s,
                audio_cache_gb=settings.audio_cache_gb,
            ),
            access=S3Access.of(settings),
            progress=progress,
        )
        ready = Runner(context)
        try:
            yield ready
        finally:
            _close(ready)


@contextmanager
def shared_engines(
    settings: Settings, *, engines: EngineFactory | None = None, standby: bool = False
) -> Iterator[tuple[EngineExecutor, Sequence[Engines]]]:
    """Start engines for a service whose threads share them, on all devices of the settings.

    Choice 0 is for all recordings but stereo ones, choice 1 for stereo. Models stay loaded until the end of the `with`,
    unless SENSORY_CACHE_TTL_S is set. Unless SENSORY_WORKERS is set, each stage has one process on each device, or two
    if the only device is a CPU, so that a long recording does not block a short one. The memory of a GPU should not
    hold a second copy of a model.

    Args:
        settings: The settings.
        engines: Engines instead of those of the settings.
        standby: As for EnginePool.

    Yields:
        The executor, and the same engines in this process, which only describe themselves here.
    """
    devices = run_devices(settings.devices, visible_devices())
    one_cpu = [device.kind for device in devices] == [DeviceKind.CPU]
    wanted = {"workers": 2 if one_cpu else 1, "cache_ttl_s": None}
    settings = settings.model_copy(update={name: wanted[name] for name in wanted.keys() - settings.model_fields_set})
    chosen = [engine_choice(settings, stereo=stereo) for stereo in (False, True)]
    pool, sets = engine_pool(settings, chosen, devices, engines, standby=standby)
    with alone_on(devices, settings), EngineExecutor(pool) as executor:
        yield executor, sets()


def _close(ready: Runner) -> None:
    """Stop the runner; after a failed run, unfinished work may be impossible to store for the same reason."""
    try:
        ready.close()
    except OSError as error:
        log.error("unfinished work could not be stored, so the next run does it again: %s", error)


def current_plans(settings: Settings, *, engines: EngineFactory | None = None) -> Plans:
    """Return the plans that the settings describe, without starting any engine.

    Args:
        settings: The settings.
        engines: Engines instead of those of the settings.
    """
    chosen = choices(settings)
    return _plans(settings, engine_sets(chosen) if engines is None else same_engines(engines, len(chosen)))


def arrival_wait_s(settings: Settings) -> float:
    """Return the seconds after which pending recordings are run, however few they are."""
    if settings.arrival_wait_s is not None:
        return settings.arrival_wait_s
    return PROMPT_S if all(map(light, choices(settings))) else PATIENT_S


def choices(settings: Settings) -> list[EngineChoice]:
    """Return each different choice of engines once: first that of the settings, then those of the sources."""
    own = (engine_choice(settings.of(source)) for source in settings.sources)
    return list(dict.fromkeys((engine_choice(settings), *own)))


def _plans(settings: Settings, sets: Sequence[Engines]) -> Plans:
    chosen = choices(settings)
    found: dict[str, tuple[Source, Plan]] = {}
    for source in settings.sources:
        mine = settings.of(source)
        choice = chosen.index(engine_choice(mine))
        prefix = prefix_of(source.uri)
        if prefix in found:
            raise ConfigurationError(f"SENSORY_SOURCES has {source.uri} twice: give each folder or prefix once")
        try:
            found[prefix] = source, make_plan(mine.request(), sets[choice], choice)
        except UnsupportedLanguage as error:
            raise UnsupportedLanguage(f"{source.uri}: {error}") from error
    return Plans(default=make_plan(settings.request(), sets[0]), sources=found)


def engine_choice(settings: Settings, *, stereo: bool | None = None) -> EngineChoice:
    """Return the engines that the settings choose.

    Settings that no chosen engine reads keep their defaults, so that equal choices compare as equal.

    Args:
        settings: The settings.
        stereo: Used instead of the setting, unless None.

    Raises:
        ConfigurationError: There is no engine of a given name.
    """
    choice = EngineChoice(
        stt=engine_name(settings, Stage.TRANSCRIPTS),
        diarization=engine_name(settings, Stage.DIARIZATION),
        emotion=engine_name(settings, Stage.EMOTIONS),
        stereo=settings.stereo if stereo is None else stereo,
        models=settings.models,
        visible_devices=visible_devices(),
        cache=CacheSettings(
            max_models=settings.cache_models,
            max_bytes=None if settings.cache_gb is None else int(settings.cache_gb * 1e9),
            ttl_s=settings.cache_ttl_s,
        ),
    )
    ours: dict[str, Any] = {
        "whisper_model_size": settings.whisper_model_size or settings.default_model_name,
        "whisper_cpu_threads": whisper_threads(settings, cores()),
    }
    read = {name for spec in specs(choice).values() for name in spec.settings}
    given = {name: ours.get(name, getattr(settings, name)) for name in read}
    return replace(choice, **{name: value for name, value in given.items() if value is not None})


def engine_name(settings: Settings, stage: Stage) -> str:
    """Return the named engine of a stage; without a name the engine whose model is set; else the first.

    Raises:
        ConfigurationError: There is no engine of that name.
    """
    named = {
        Stage.TRANSCRIPTS: settings.stt,
        Stage.DIARIZATION: settings.diarization,
        Stage.EMOTIONS: settings.emotion,
    }
    if (name := named[stage]) is not None:
        return engine_named(stage, name).name
    first, *others = engines_of(stage)
    return next((spec.name for spec in others if spec.model and getattr(settings, spec.model)), first.name)
