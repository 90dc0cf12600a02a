"""The resource that holds the engine processes, and so the loaded models."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from pydantic import Field

from sensory_pipeline.engines.devices import Device
from sensory_pipeline.processing.runs.runner import Runner
from sensory_pipeline.processing.setup import runner
from sensory_pipeline.settings import Settings

DEVICE_TAG = "sensory/device"
"""Tag of a run: the device that it was given, such as "cuda:1"."""


def device_of(run: dg.DagsterRun | None, settings: Settings) -> Device | None:
    """Return the device that the run was given.

    Args:
        run: The run.
        settings: The settings.

    Returns:
        The device; None, meaning the first of the settings, if the run has none, or if steps are executed on other
        hosts. Those have their own devices, and the tag only limits how many runs are in progress.
    """
    tag = run.tags.get(DEVICE_TAG) if run and not settings.steps_elsewhere else None
    return Device.parse(tag) if tag else None


def _setting(name: str) -> Any:
    return Field(description=Settings.model_fields[name].description)


class EnginesResource(dg.ConfigurableResource[Runner]):
    """Engine processes for one run, on the device of its tag; they start with the first recording."""

    settings: dg.ResourceDependency[Settings]  # with the settings that are not fields: options, sources, secrets
    stt: str | None = _setting("stt")
    diarization: str | None = _setting("diarization")
    emotion: str | None = _setting("emotion")
    whisper_model_size: str | None = _setting("whisper_model_size")
    pyannote_model: str | None = _setting("pyannote_model")
    gigaam_model_name: str | None = _setting("gigaam_model_name")
    devices: str = _setting("devices")
    workers: int | None = _setting("workers")
    side_by_side: bool | None = _setting("side_by_side")
    worker_memory_mb: int = _setting("worker_memory_mb")
    recording_timeout_s: float = _setting("recording_timeout_s")
    run_audio_hours: float = _setting("run_audio_hours")

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator[Runner, None, None]:
        """Yield a Runner that has the device to itself.

        Its processes end with the run, or with the step if each step has its own process.
        """
        settings = self.settings.model_copy(update={name: getattr(self, name) for name in _FIELDS})
        with runner(settings, device=device_of(context.run, settings)) as ready:
            yield ready

    def create_resource(self, context: dg.InitResourceContext) -> Runner:
        raise NotImplementedError("its processes must be ended: use it as a context manager")


_FIELDS = [name for name in EnginesResource.model_fields if name in Settings.model_fields]


def engines(settings: Settings) -> EnginesResource:
    """The engines of the settings."""
    return EnginesResource(settings=settings, **{name: getattr(settings, name) for name in _FIELDS})
