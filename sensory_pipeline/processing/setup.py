"""From settings to something that works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.selection import EngineFactory, offline_engines
from sensory_pipeline.processing.pipeline import Limits, Processor
from sensory_pipeline.processing.plan import make_plan
from sensory_pipeline.processing.pool import EnginePool
from sensory_pipeline.settings import Settings


@contextmanager
def processor(
    settings: Settings,
    *,
    engines: EngineFactory | None = None,
    progress: Callable[[Stage, str], None] = lambda _stage, _recording: None,
) -> Iterator[Processor]:
    """Engines, plan and limits as the settings say; the engine processes end with the `with`.

    engines: instead of those the settings choose.
    """
    request = settings.request()
    factory = engines or partial(offline_engines, stereo=request.stereo)
    with EnginePool(factory, size=settings.workers, memory_mb=settings.worker_memory_mb) as pool:
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
