"""The Dagster instance beside a lake: its configuration, and runs whose process is gone."""

import os
import socket
from pathlib import Path

import dagster as dg
import psutil
import yaml

from sensory_pipeline.storage.files import write_text_atomically
from sensory_pipeline.storage.lock import held

PROCESS_TAG = "sensory/process"
"""host:pid:start of the process that executes a run itself, without a launcher."""

_CLOCK_S = 2.0

CONFIG: dict[str, object] = {
    "telemetry": {"enabled": False},
    "run_monitoring": {
        "enabled": True,
        "start_timeout_seconds": 180,
        "max_runtime_seconds": 86400,
        "poll_interval_seconds": 30,
    },
    "run_coordinator": {"module": "sensory_pipeline.automation.coordinator", "class": "DeviceRunCoordinator"},
    "run_launcher": {"module": "sensory_pipeline.automation.launcher", "class": "WatchedRunLauncher"},
    "run_retries": {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False},
    "retention": {
        "schedule": {"purge_after_days": 30},
        "sensor": {"purge_after_days": {"skipped": 7, "failure": 30, "success": -1}},
    },
}


def prepare_home(home: Path) -> Path:
    """The folder as a DAGSTER_HOME, absolute; it gets our dagster.yaml unless it has one."""
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        write_text_atomically(home / "dagster.yaml", yaml.safe_dump(CONFIG, sort_keys=False))
    return home.resolve()


def open_instance(home: Path) -> dg.DagsterInstance:
    """The instance in that folder, made there if need be. Use it in a `with`."""
    # two processes that make Dagster's tables at once trip over each other
    with held(prepare_home(home) / "start.lock", what="the start of Dagster"):
        instance = dg.DagsterInstance.from_config(str(home.resolve()))
        instance.get_runs(limit=1)
        instance.get_latest_materialization_event(dg.AssetKey("merged_parquet"))
    return instance


def this_process() -> dict[str, str]:
    """Tags for a run that this process executes."""
    return {PROCESS_TAG: f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time()}"}


def fail_orphans(instance: dg.DagsterInstance) -> int:
    """End runs whose process was killed, so that nobody waits for them; returns how many."""
    unfinished = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.NOT_STARTED]
    orphans = [
        run
        for run in instance.get_runs(filters=dg.RunsFilter(statuses=unfinished))
        if PROCESS_TAG in run.tags and not _lives(run.tags[PROCESS_TAG])
    ]
    for run in orphans:
        instance.report_run_failed(run, "the process that executed this run was killed")
    return len(orphans)


def _lives(tag: str) -> bool:
    host, pid, start = tag.rsplit(":", 2)
    if host != socket.gethostname():
        return True  # another host's to judge
    try:
        # a little apart, for it is reckoned from the time of boot, which moves when the clock is set
        return abs(psutil.Process(int(pid)).create_time() - float(start)) < _CLOCK_S
    except psutil.NoSuchProcess:
        return False
