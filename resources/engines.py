"""The resource that holds the engines: their processes, and with them the cached models."""

from collections.abc import Iterator

import dagster as dg

from sensory_pipeline.processing.pipeline import Processor
from sensory_pipeline.processing.setup import processor
from sensory_pipeline.settings import Settings


@dg.resource(description="Engine processes for one run, as the settings say; they start with the first recording.")
def engines(_: dg.InitResourceContext) -> Iterator[Processor]:
    """Yields a Processor; its processes end with the run."""
    with processor(Settings()) as ready:
        yield ready
