"""All that is taken from inside Dagster, which may move it in any release: read in Dagster 1.13.27.

No other module imports `dagster._*`; ruff holds that. `dagster~=1.13.27` in pyproject.toml keeps to one minor
version, and `test_dagster_internals.py` says what of this has moved. Each entry says why nothing public does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

# the types of DeviceRunCoordinator's configuration: a class that dagster.yaml names has to spell them
from dagster._config.config_schema import UserConfigSchema

# by what JobDefinition.execute_in_process executes, which is not dg.in_process_executor: an asset asks for both
from dagster._core.definitions.executor_definition import execute_in_process_executor

# what a code server that is away raises, in code_server_has
from dagster._core.errors import DagsterUserCodeUnreachableError

# what a launcher answers to run monitoring; anybody may write a launcher, but its answer has no public name
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus

# where events lie, in event_files
from dagster._core.storage.event_log.sqlite import SqliteEventLogStorage

# tags of runs: the code server that was asked to start it, what it failed of, whether Dagster runs it again
from dagster._core.storage.tags import GRPC_INFO_TAG, RUN_FAILURE_REASON_TAG, WILL_RETRY_TAG

# what dagster-webserver makes of a workspace file, to serve it; it can be had in no other way
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget

# what a code server is asked and answers, in code_server_has
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult

# of a class that dagster.yaml names, with UserConfigSchema
from dagster._serdes import ConfigurableClassData

# whether a schedule would take a cron expression; ScheduleDefinition says it only with a traceback
from dagster._utils.schedules import is_valid_cron_schedule

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
    "started_process",
    "workspace_context",
]

DAEMON = "dagster._daemon"
"""Run as `python -m`: the script `dagster-daemon` need not be on the path of who starts it."""
RETRY_CHANGED_DEFINITIONS = "DAGSTER_BACKFILL_RETRY_DEFINITION_CHANGED_ERROR"
"""Variable that lets a backfill wait for a code server that is away. Set nowhere else, and not documented."""
STARTED_PROCESS = "Started process for run"
"""How the event begins that names the process of a run; it has no type of its own."""


def started_process(entry: dg.EventLogEntry) -> int | None:
    """The process that was started for the run, where the entry tells of one."""
    event = entry.dagster_event
    if event is None or not str(event.message).startswith(STARTED_PROCESS):
        return None
    return int(str(event.engine_event_data.metadata["pid"].value))


@contextmanager
def workspace_context(instance: dg.DagsterInstance, workspace: Path) -> Iterator[WorkspaceProcessContext]:
    """What a webserver serves, of a workspace file."""
    instance.optimize_for_webserver(15_000, 3_600, 20)  # the defaults of dagster-webserver
    with WorkspaceProcessContext(
        instance, WorkspaceFileTarget(paths=[str(workspace)]), version=dg.__version__, code_server_log_level="warning"
    ) as context:
        yield context


def code_server_has(launcher: dg.DefaultRunLauncher, run_id: str) -> bool:
    """Whether the code server that started a run still has its process; Dagster asks it only before it kills one."""
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
    """The files with a run's events, which Dagster empties and leaves when it deletes the run; none in PostgreSQL."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        return []
    return list(Path(storage.path_for_shard(run_id)).parent.glob(f"{run_id}.db*"))
