"""A run launcher that notices runs whose process is gone, so that the place they hold comes free.

Dagster's own never asks: after a power cut, a run that was going on stays "started", and its
device taken, for ever.
"""

import json

from dagster import DagsterEventType, DagsterRun, DefaultRunLauncher

from sensory_pipeline.automation.orphans import PROCESS_TAG, lives, tagged_lives
from sensory_pipeline.dagster_internals import (
    GRPC_INFO_TAG,
    CheckRunHealthResult,
    WorkerStatus,
    code_server_has,
    started_process,
)


class WatchedRunLauncher(DefaultRunLauncher):
    """Dagster's launcher, and an answer to run monitoring: whether the process of a run is there.

    On this host the process itself is looked for, as it goes on when the code server that started
    it has died; elsewhere the code server is asked, which knows the processes it started.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the process of a run that goes on is still there."""
        if PROCESS_TAG in run.tags:
            there = tagged_lives(run.tags[PROCESS_TAG])
        elif "socket" in json.loads(run.tags.get(GRPC_INFO_TAG, "{}")):
            there = self._process_lives(run)
        else:
            there = code_server_has(self, run.run_id)
        if there:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its process is gone")

    def _process_lives(self, run: DagsterRun) -> bool:
        """Whether any does: one that was started while the run went back to the queue ends by itself."""
        log = self._instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT)
        return any(lives(pid, began_s=entry.timestamp) for entry in log if (pid := started_process(entry)) is not None)
