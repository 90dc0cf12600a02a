"""The resource that holds the engines: their processes, and with them the cached models."""

from collections.abc import Iterator

import dagster as dg

from sensory_pipeline.engines.devices import Device
from sensory_pipeline.processing.runs.runner import Runner
from sensory_pipeline.processing.setup import runner
from sensory_pipeline.settings import Settings

DEVICE_TAG = "sensory/device"
"""Of a run: the device it was given, as in "cuda:1"."""


def device_of(run: dg.DagsterRun | None, settings: Settings) -> Device | None:
    """The device that the run was given. None, for the first of the settings', where it was given none, and on
    another host, which has devices of its own: there the tag only counts the runs."""
    tag = run.tags.get(DEVICE_TAG) if run and not settings.steps_elsewhere else None
    return Device.parse(tag) if tag else None


def engines(settings: Settings) -> dg.ResourceDefinition:
    """A Runner that has the device to itself; its processes end with the run, or with the step where each has a
    process of its own."""

    @dg.resource(
        description="Engine processes for one run, on the device of its tag; they start with the first recording."
    )
    def started(context: dg.InitResourceContext) -> Iterator[Runner]:
        with runner(settings, device=device_of(context.run, settings)) as ready:
            yield ready

    return started
