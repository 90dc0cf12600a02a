"""Runs whose process no longer exists: how a run names its process, and how such runs are ended."""

import os
import socket
from pathlib import Path

import dagster as dg
import psutil

from sensory_pipeline.dagster_internals import GRPC_INFO_TAG

PROCESS_TAG = "sensory/process"
"""host:pid:start of the process that executes a run itself, without a launcher."""

_CLOCK_S = 2.0
"""Tolerance in seconds: the start of a process is computed from the boot time, which shifts when the clock is set."""
_UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def this_process() -> dict[str, str]:
    """Return the tags of a run that this process executes."""
    return {PROCESS_TAG: f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time()}"}


def tagged_lives(tag: str) -> bool:
    """Return whether the process of a PROCESS_TAG exists; on another host it counts as existing."""
    host, pid, start = tag.rsplit(":", 2)
    return host != socket.gethostname() or lives(int(pid), began_s=float(start))


def lives(pid: int, *, began_s: float) -> bool:
    """Return whether a process exists.

    Args:
        pid: Its number.
        began_s: A time when it had already started, in seconds since 1970; a later process with the same number does
            not count.
    """
    try:
        process = psutil.Process(pid)
        return process.create_time() < began_s + _CLOCK_S and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def fail_orphans(instance: dg.DagsterInstance) -> int:
    """End the runs that a process executed itself and that were killed; return how many."""
    orphans = [
        run for run in _unfinished(instance) if PROCESS_TAG in run.tags and not tagged_lives(run.tags[PROCESS_TAG])
    ]
    return _fail(instance, orphans)


def fail_launched(instance: dg.DagsterInstance, home: Path) -> int:
    """End the runs that this host's code server launched, unless one of their processes still exists; return how many.

    Call it before the services start. Run monitoring would find these runs too, but some only after minutes.
    """
    if _processes_of(home):
        return 0
    return _fail(instance, [run for run in _unfinished(instance) if PROCESS_TAG not in run.tags])


def fail_unlaunched(instance: dg.DagsterInstance) -> int:
    """End the runs that the daemon was starting when it died, before it asked a code server; return how many.

    Call it before another daemon starts, because only a daemon launches runs.
    """
    starting = [run for run in _unfinished(instance) if run.status is dg.DagsterRunStatus.STARTING]
    return _fail(instance, [run for run in starting if PROCESS_TAG not in run.tags and GRPC_INFO_TAG not in run.tags])


def _unfinished(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    return list(instance.get_runs(filters=dg.RunsFilter(statuses=_UNFINISHED)))


def _fail(instance: dg.DagsterInstance, runs: list[dg.DagsterRun]) -> int:
    for run in runs:
        instance.report_run_failed(run, "the process that executed this run, or was to start it, was killed")
    return len(runs)


def _processes_of(home: Path) -> list[int]:
    """Return the other processes that have this DAGSTER_HOME."""
    return [
        process.pid
        for process in psutil.process_iter(["environ", "status"])
        if process.pid != os.getpid()
        and (process.info["environ"] or {}).get("DAGSTER_HOME") == str(home)
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]
