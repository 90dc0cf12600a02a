"""A run launcher that notices runs whose process no longer exists, and so frees their device.

Dagster's own launcher does not check: after a power cut, a run that was in progress stays "started", and its device
stays taken, for ever.
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
    """Dagster's launcher, which also tells run monitoring whether the process of a run exists.

    On this host it looks for the process itself, because a run continues when the code server that started it has died.
    For other hosts it asks the code server, which knows the processes that it started.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return whether the process of a run exists."""
        if PROCESS_TAG in run.tags:
            there = tagged_lives(run.tags[PROCESS_TAG])
        elif "socket" in json.loads(run.tags.get(GRPC_INFO_TAG, "{}")):
            there = self._process_lives(run)
        else:
            there = code_server_has(self, run.run_id)
        if there:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its process no longer exists")

    def _process_lives(self, run: DagsterRun) -> bool:
        """Return whether any process of the run exists.

        If a run was queued again while its process was starting, that process ends by itself.
        """
        log = self._instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT)
        return any(lives(pid, began_s=entry.timestamp) for entry in log if (pid := started_process(entry)) is not None)
