"""Background jobs that the lake's runs do: a recording goes into a watched folder, its result is read from the lake.

So what comes over HTTP and what comes by night end in the same tables, under the same settings.
"""

from __future__ import annotations

import asyncio
import shutil
from functools import partial
from pathlib import Path

from sensory_pipeline.core import errors
from sensory_pipeline.core.errors import ConfigurationError, EngineError, SensoryError
from sensory_pipeline.core.recordings import recording_id
from sensory_pipeline.core.requests import ProcessRequest, Task
from sensory_pipeline.core.results import RecordingResult
from sensory_pipeline.gateway.problems import refused
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.stage_store import StageResult
from sensory_pipeline.processing.plans import Plan, Plans
from sensory_pipeline.processing.tasks.serialization import assembled
from sensory_pipeline.storage.files import write_atomically
from sensory_pipeline.storage.local import stat_object, uri_of

_POLL_S = 2.0  # at first; then ever longer, as many jobs may wait for a night
_MOST_POLL_S = 60.0


class LakeHome:
    """inbox: a folder that one of the lake's sources holds."""

    def __init__(self, lake: Lake, plans: Plans, inbox: Path) -> None:
        """Raises ConfigurationError for a folder that no run would look into."""
        self._lake = lake
        self._plans = plans
        self._inbox = inbox.absolute()
        if not any(self._uri("job").startswith(prefix) for prefix in plans.sources):
            raise ConfigurationError(
                f"SENSORY_INBOX is {inbox}, which SENSORY_SOURCES does not hold, so that no run would work on what is "
                "put there: add it"
            )
        self._inbox.mkdir(parents=True, exist_ok=True)

    def check(self, wanted: ProcessRequest) -> None:
        """Raises Problem for what the lake's settings do not do."""
        ours = self._plan("job").request
        wrong = {
            f"settings: {name}": f"jobs are done by the lake's settings, which have {ours_of!r}: ask for the same, or "
            "without async_process"
            for name in ("stereo", "tra", "dia", "emo")
            if (name != "emo" or Task.EMOTION in wanted.tasks)
            and getattr(wanted, name) != (ours_of := getattr(ours, name))
        }
        if wrong:
            raise refused(wrong)

    async def result(self, identity: str, path: Path) -> RecordingResult:
        """What a run has made of a job's recording, once one has. Raises what it failed with."""
        version = await asyncio.to_thread(self._place, identity, path)
        wait_s = _POLL_S
        while (found := await asyncio.to_thread(self._published, identity, version)) is None:
            await asyncio.sleep(wait_s)
            wait_s = min(_MOST_POLL_S, 1.5 * wait_s)
        return found

    def _place(self, identity: str, path: Path) -> str:
        """Put it where runs look, unless it is there, and into the ledger; returns its version."""
        place = self._place_of(identity)
        if not place.exists():
            write_atomically(place, partial(shutil.copyfile, path))
        listed = stat_object(place)
        fingerprint = self._plan(identity).fingerprint
        self._lake.ledger.register(
            [listed], fingerprint=lambda _: fingerprint, shards=self._lake.shards, start_date=self._lake.start_date
        )
        return listed.version

    def _published(self, identity: str, version: str) -> RecordingResult | None:
        """None as long as nothing is published of this version under today's settings."""
        key = recording_id(self._uri(identity))
        partition = self._lake.ledger.partition_of(key)
        plan = self._plan(identity)
        entry = None if partition is None else self._lake.manifest(partition).recordings.get(key)
        if partition is None or entry is None or (entry.version, entry.fingerprint) != (version, plan.fingerprint):
            return None
        found = {
            stage: result
            for stage, part in plan.stages.items()
            if (result := self._lake.stages.read(stage, partition, {key: (version, part.fingerprint)}).get(key))
        }
        for result in found.values():
            if result.error_class is not None:
                raise _failure(result)
        if len(found) < len(plan.stages):
            raise EngineError("the lake has lost what was made of it: send it again")
        return assembled({stage: str(result.payload) for stage, result in found.items()}, plan.request)

    def _place_of(self, identity: str) -> Path:
        """By its name a recording, whatever its bytes say: it was decoded before it was taken."""
        return self._inbox / f"{identity}.wav"

    def _uri(self, identity: str) -> str:
        return uri_of(self._place_of(identity))

    def _plan(self, identity: str) -> Plan:
        return self._plans.of(self._uri(identity))


def _failure(result: StageResult) -> SensoryError:
    kind = getattr(errors, str(result.error_class), None)
    known = isinstance(kind, type) and issubclass(kind, SensoryError)
    return (kind if known else EngineError)(str(result.error_message))  # type: ignore[misc] # checked
