"""What this project takes from inside Dagster is still there, or the test names what has moved."""

from __future__ import annotations

import ast
import importlib
import inspect
from importlib.util import find_spec
from pathlib import Path

import dagster as dg
import pytest
from dagster._cli import api  # noqa: TID251
from dagster._core.execution import asset_backfill  # noqa: TID251
from dagster._core.storage.event_log.sqlite import SqliteEventLogStorage  # noqa: TID251
from dagster._grpc import impl  # noqa: TID251

from sensory_pipeline import dagster_internals

HOW = "read the new Dagster, and mend sensory_pipeline/dagster_internals.py"
IMPORTS = [
    (node.module, alias.name)
    for node in ast.walk(ast.parse(Path(dagster_internals.__file__).read_text()))
    if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("dagster._")
    for alias in node.names
]


@pytest.mark.parametrize(("module", "name"), IMPORTS, ids=[name for _, name in IMPORTS])
def test_every_name_still_exists(module: str, name: str) -> None:
    assert find_spec(module), f"Dagster {dg.__version__} has no {module}: {HOW}"
    assert hasattr(importlib.import_module(module), name), f"Dagster {dg.__version__} has no {module}.{name}: {HOW}"


def test_the_daemon_is_a_program() -> None:
    assert find_spec(f"{dagster_internals.DAEMON}.__main__"), HOW


def test_the_event_that_names_a_process_begins_with_the_same_text() -> None:
    for module in (impl, api):
        assert f'"{dagster_internals.STARTED_PROCESS} (pid: {{pid}})' in inspect.getsource(module), HOW


def test_a_backfill_still_asks_for_the_variable() -> None:
    assert dagster_internals.RETRY_CHANGED_DEFINITIONS in inspect.getsource(asset_backfill), HOW


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (dg.DefaultRunLauncher, "_get_grpc_client_for_termination"),
        (dg.DefaultRunLauncher, "_instance"),
        (dg.DefaultRunLauncher, "supports_check_run_worker_health"),
        (dg.DefaultRunLauncher, "check_run_worker_health"),
        (dg.QueuedRunCoordinator, "_instance"),
        (dg.QueuedRunCoordinator, "submit_run"),
        (SqliteEventLogStorage, "path_for_shard"),
    ],
)
def test_a_class_still_has_what_is_used_or_overridden(owner: type, name: str) -> None:
    assert hasattr(owner, name), f"Dagster {dg.__version__} has no {owner.__name__}.{name}: {HOW}"
