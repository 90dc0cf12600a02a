"""Our definitions with engines that hardly take time, for runs in processes of their own.

Every use of a device is written down, by the step that has it.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from resources.engines import device_of
from sensory_pipeline.definitions import build
from sensory_pipeline.processing.runs.runner import Runner
from sensory_pipeline.processing.setup import runner
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests.live_processes import lives
from sensory_pipeline_tests.trivial_engines import slow


def engines(settings: Settings) -> dg.ResourceDefinition:
    @dg.resource
    def started(context: dg.InitResourceContext) -> Iterator[Runner]:
        device = device_of(context.run, settings)
        name = device.name if device else settings.devices
        with runner(settings, device=device, engines=slow) as ready, _witnessed(settings.lake / "uses.jsonl", name):
            yield ready

    return started


@dg.definitions
def defs() -> dg.Definitions:
    settings = Settings()
    return build(settings, engines=engines(settings))


def process_recordings() -> dg.JobDefinition:
    """The definitions for the executor that the settings choose now."""
    return defs().resolve_job_def("process_recordings")


def uses(lake: Path) -> list[dict[str, Any]]:
    """Who had which device, in order. shared: by a process that had it already, and lived."""
    return [json.loads(line) for line in (lake / "uses.jsonl").read_text().splitlines()]


@contextmanager
def _witnessed(journal: Path, device: str) -> Iterator[None]:
    before = [use["pid"] for use in uses(journal.parent) if use["device"] == device] if journal.exists() else []
    last = before[-1] if before else 0
    shared = last > 0 and last != os.getpid() and lives(last)
    _append(journal, {"device": device, "pid": os.getpid(), "shared": shared})
    try:
        yield
    finally:
        _append(journal, {"device": device, "pid": 0, "shared": False})


def _append(journal: Path, use: dict[str, Any]) -> None:
    with journal.open("a") as file:
        file.write(json.dumps(use) + "\n")
