"""Everything that comes from Dagster's private modules, which can change in any release: read in Dagster 1.13.27.

No other module imports `dagster._*`; ruff checks that. `dagster~=1.13.27` in pyproject.toml stays on one minor version,
and `test_dagster_internals.py` shows what has changed. Each entry says why nothing public is enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

# the types of DeviceRunCoordinator's configuration, which a class in dagster.yaml must declare with these
from dagster._config.config_schema import UserConfigSchema

# the executor of JobDefinition.execute_in_process, which is not dg.in_process_executor; an asset checks for both
from dagster._core.definitions.executor_definition import execute_in_process_executor

# the error when a code server is not available, in code_server_has
from dagster._core.errors import DagsterUserCodeUnreachableError

# a launcher's answer to run monitoring; launchers are public, but this class is not
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus

# where events are stored, in event_files
from dagster._core.storage.event_log.sqlite import SqliteEventLogStorage

# tags of runs: the code server that should start it, why it failed, whether Dagster runs it again
from dagster._core.storage.tags import GRPC_INFO_TAG, RUN_FAILURE_REASON_TAG, WILL_RETRY_TAG

# what dagster-webserver serves, made from a workspace file; there is no public way to make it
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget

# request to and response of a code server, in code_server_has
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult

# for a class in dagster.yaml, with UserConfigSchema
from dagster._serdes import ConfigurableClassData

# whether a cron expression is valid, which ScheduleDefinition reports only with a traceback; when it is next due, which
# only the daemon and the UI say
from dagster._utils.schedules import is_valid_cron_schedule, schedule_execution_time_iterator

__all__ = [
    "DAEMON",
    "GRPC_INFO_TAG",
    "RETRY_CHANGED_DEFINITIONS",
    "RUN_FAILURE_REASON_TAG",
    "WILL_RETRY_TAG",
    "CheckRunHealthResult",
    "ConfigurableClassData",
    "UserConfigSchema",
    "WorkerStatus",
    "code_server_has",
    "event_files",
    "execute_in_process_executor",
    "is_valid_cron_schedule",
    "schedule_execution_time_iterator",
    "started_process",
    "workspace_context",
]

DAEMON = "dagster._daemon"
"""Run as `python -m`, because the script `dagster-daemon` may not be on the PATH."""
RETRY_CHANGED_DEFINITIONS = "DAGSTER_BACKFILL_RETRY_DEFINITION_CHANGED_ERROR"
"""Variable that lets a backfill wait for an unavailable code server. It is not documented."""
STARTED_PROCESS = "Started process for run"
"""Beginning of the message of the event that names a run's process; the event has no type of its own."""


def started_process(entry: dg.EventLogEntry) -> int | None:
    """Return the id of the process that was started for a run; None if the entry is another event."""
    event = entry.dagster_event
    if event is None or not str(event.message).startswith(STARTED_PROCESS):
        return None
    return int(str(event.engine_event_data.metadata["pid"].value))


@contextmanager
def workspace_context(instance: dg.DagsterInstance, workspace: Path) -> Iterator[WorkspaceProcessContext]:
    """Provide what a webserver serves, from a workspace file."""
    instance.optimize_for_webserver(15_000, 3_600, 20)  # the defaults of dagster-webserver
    with WorkspaceProcessContext(
        instance, WorkspaceFileTarget(paths=[str(workspace)]), version=dg.__version__, code_server_log_level="warning"
    ) as context:
        yield context


def code_server_has(launcher: dg.DefaultRunLauncher, run_id: str) -> bool:
    """Return whether the code server that started a run still has its process.

    Dagster itself asks only before it kills a run.
    """
    client = launcher._get_grpc_client_for_termination(run_id)  # type: ignore[no-untyped-call]
    if client is None:
        return False
    try:
        answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run_id), timeout=10)
    except DagsterUserCodeUnreachableError:
        return False
    can_cancel: bool = dg.deserialize_value(answer, CanCancelExecutionResult).can_cancel
    return can_cancel


def event_files(instance: dg.DagsterInstance, run_id: str) -> list[Path]:
    """Return the files of a run's events; none in PostgreSQL.

    Dagster empties these files when it deletes the run, but leaves them.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        return []
    return list(Path(storage.path_for_shard(run_id)).parent.glob(f"{run_id}.db*"))
