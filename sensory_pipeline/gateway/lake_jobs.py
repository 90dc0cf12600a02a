"""Background jobs in lake mode: a Dagster run processes the recording, and the service reads the result from the lake.

Recordings sent over HTTP thus end in the same tables as all others, and with the same settings.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from sensory_pipeline.core import errors
from sensory_pipeline.core.errors import ConfigurationError, EngineError, SensoryError
from sensory_pipeline.core.process_request import ProcessRequest, Task
from sensory_pipeline.core.recordings import recording_id
from sensory_pipeline.core.results import RecordingResult
from sensory_pipeline.engines.selection import EngineFactory
from sensory_pipeline.gateway.problems import refused
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.stage_store import StageResult
from sensory_pipeline.processing.effective_settings import in_force
from sensory_pipeline.processing.plans import Plan, Plans
from sensory_pipeline.processing.setup import current_plans
from sensory_pipeline.processing.tasks.serialization import assembled
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage.inbox import Inbox
from sensory_pipeline.storage.s3_access import AS_FOUND, S3Access

_POLL_S = 2.0  # at first; then longer each time, because jobs may wait for the nightly run
_MOST_POLL_S = 60.0


class LakeJobs:
    """Background jobs that the lake's runs process.

    Args:
        lake: The lake.
        plans: Plans of the lake's recordings.
        inbox: Folder or S3 prefix for recordings, inside one of the lake's sources.
        access: Access to S3.

    Raises:
        ConfigurationError: The inbox is not inside a source.
    """

    def __init__(self, lake: Lake, plans: Plans, inbox: str, access: S3Access = AS_FOUND) -> None:
        self._lake = lake
        self._plans = plans
        self._inbox = Inbox(inbox, access)
        if not any(self._uri("job").startswith(prefix) for prefix in plans.sources):
            raise ConfigurationError(
                f"SENSORY_INBOX is {inbox}, which SENSORY_SOURCES does not hold, so no run would process its "
                "recordings: add it to SENSORY_SOURCES"
            )
        self._inbox.create()

    def check(self, wanted: ProcessRequest) -> None:
        """Check that the lake's settings can fulfil a request.

        Raises:
            Problem: The request asks for other settings.
        """
        ours = self._plan("job").request
        wrong = {
            f"settings: {name}": f"background jobs use the lake's settings, which have {ours_of!r}: send the same, "
            "or leave out async_process"
            for name in ("stereo", "tra", "dia", "emo")
            if (name != "emo" or Task.EMOTION in wanted.tasks)
            and getattr(wanted, name) != (ours_of := getattr(ours, name))
        }
        if wrong:
            raise refused(wrong)

    async def result(self, identity: str, path: Path) -> RecordingResult:
        """Wait until a run has processed the recording of a job, and return its result.

        Args:
            identity: The job's id.
            path: The recording.

        Raises:
            SensoryError: The recording failed with this error, or cannot be put into the inbox.
        """
        version = await asyncio.to_thread(self._place, identity, path)
        wait_s = _POLL_S
        while (found := await asyncio.to_thread(self._published, identity, version)) is None:
            await asyncio.sleep(wait_s)
            wait_s = min(_MOST_POLL_S, 1.5 * wait_s)
        return found

    def _place(self, identity: str, path: Path) -> str:
        """Put the recording into the inbox and the ledger, unless it is there. Returns its version."""
        listed = self._inbox.put(_name(identity), path)
        fingerprint = self._plan(identity).fingerprint
        self._lake.ledger.register(
            [listed], fingerprint=lambda _: fingerprint, shards=self._lake.shards, start_date=self._lake.start_date
        )
        return listed.version

    def _published(self, identity: str, version: str) -> RecordingResult | None:
        """The published result of this version under the current settings, or None."""
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
            raise EngineError("the result is missing in the lake: send the recording again")
        return assembled({stage: str(result.payload) for stage, result in found.items()}, plan.request)

    def _uri(self, identity: str) -> str:
        return self._inbox.uri(_name(identity))

    def _plan(self, identity: str) -> Plan:
        return self._plans.of(self._uri(identity))


def lake_jobs(settings: Settings, inbox: str, engines: EngineFactory | None) -> LakeJobs:
    """The background jobs of the lake of the settings, which is created if it does not exist.

    Args:
        settings: Settings of the pipeline.
        inbox: Folder or S3 prefix for recordings.
        engines: Engines to use instead of those that the settings select.

    Raises:
        ConfigurationError: The inbox is not inside one of the lake's sources.
    """
    ours = in_force(settings)
    lake = Lake.create(ours.lake, shards=ours.shards, start_date=ours.start_date, ledger=ours.ledger)
    return LakeJobs(lake, current_plans(ours, engines=engines), inbox, S3Access.of(ours))


def _name(identity: str) -> str:
    """The name in the inbox. Any format gets the suffix .wav, so that runs see a recording."""
    return f"{identity}.wav"


def _failure(result: StageResult) -> SensoryError:
    kind = getattr(errors, str(result.error_class), None)
    known = isinstance(kind, type) and issubclass(kind, SensoryError)
    return (kind if known else EngineError)(str(result.error_message))  # type: ignore[misc] # checked
