"""The Dagster instance beside a lake, and its configuration."""

import os
from pathlib import Path

import dagster as dg
import yaml

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.storage.files import write_text_atomically
from sensory_pipeline.storage.lock import held

CONFIG: dict[str, object] = {
    "telemetry": {"enabled": False},
    "nux": {"enabled": False},  # it would ask new users for their e-mail address
    "python_logs": {"python_log_level": "INFO"},  # the events of a run are DEBUG; the UI has them all
    "run_monitoring": {
        "enabled": True,
        "start_timeout_seconds": 180,
        "max_runtime_seconds": 86400,
        "poll_interval_seconds": 30,
    },
    "run_coordinator": {"module": "sensory_pipeline.automation.coordinator", "class": "DeviceRunCoordinator"},
    "run_launcher": {"module": "sensory_pipeline.automation.launcher", "class": "WatchedRunLauncher"},
    "run_retries": {"enabled": True, "max_retries": 3, "retry_on_asset_or_op_failure": False},
    "retention": {
        "schedule": {"purge_after_days": 30},
        "sensor": {"purge_after_days": {"skipped": 7, "failure": 30, "success": -1}},
    },
}


def prepare_home(home: Path) -> Path:
    """Prepare a folder as DAGSTER_HOME and return its absolute path; write our dagster.yaml unless it has one.

    Raises:
        ConfigurationError: The folder cannot be written.
    """
    home.mkdir(parents=True, exist_ok=True)
    if not os.access(home, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{home} cannot be written by this user: ask its owner, or set DAGSTER_HOME")
    if not (home / "dagster.yaml").exists():
        write_text_atomically(home / "dagster.yaml", yaml.safe_dump(CONFIG, sort_keys=False))
    return home.resolve()


def open_instance(home: Path) -> dg.DagsterInstance:
    """Open the instance in a folder, or create one there; use it in a `with`."""
    # two processes cannot create Dagster's tables at the same time
    with held(prepare_home(home) / "start.lock", what="the start of Dagster"):
        instance = dg.DagsterInstance.from_config(str(home.resolve()))
        instance.get_runs(limit=1)
        instance.get_latest_materialization_event(dg.AssetKey("merged_parquet"))
    return instance
