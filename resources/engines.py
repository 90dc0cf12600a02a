"""The resource that holds the engines: their processes, and with them the cached models."""

from collections.abc import Iterator

import dagster as dg

from sensory_pipeline.engines.devices import Device
from sensory_pipeline.processing.processor import Processor
from sensory_pipeline.processing.setup import processor
from sensory_pipeline.settings import Settings

DEVICE_TAG = "sensory/device"
"""Of a run: the device it was given, as in "cuda:1"."""


@dg.resource(description="Engine processes for one run, on the device of its tag; they start with the first recording.")
def engines(context: dg.InitResourceContext) -> Iterator[Processor]:
    """Yields a Processor that has the run's device to itself; its processes end with the run."""
    tag = context.run.tags.get(DEVICE_TAG) if context.run else None
    with processor(Settings(), device=Device.parse(tag) if tag else None) as ready:
        yield ready
