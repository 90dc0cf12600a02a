"""Runs whose process is gone: how a run names its process, and how those without one are ended."""

import os
import socket
from pathlib import Path

import dagster as dg
import psutil

from sensory_pipeline.dagster_internals import GRPC_INFO_TAG

PROCESS_TAG = "sensory/process"
"""host:pid:start of the process that executes a run itself, without a launcher."""

_CLOCK_S = 2.0
"""A process' start is reckoned from the time of boot, which moves a little when the clock is set."""
_UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def this_process() -> dict[str, str]:
    """Tags for a run that this process executes."""
    return {PROCESS_TAG: f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time()}"}


def tagged_lives(tag: str) -> bool:
    """Whether the process that a PROCESS_TAG names is there; another host's is for that host to judge."""
    host, pid, start = tag.rsplit(":", 2)
    return host != socket.gethostname() or lives(int(pid), began_s=float(start))


def lives(pid: int, *, began_s: float) -> bool:
    """Whether a process of that number is there that had begun by then (seconds since 1970)."""
    try:
        process = psutil.Process(pid)
        return process.create_time() < began_s + _CLOCK_S and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def fail_orphans(instance: dg.DagsterInstance) -> int:
    """End runs that a process executed itself and that was killed, so that nobody waits for them; returns how many."""
    orphans = [
        run for run in _unfinished(instance) if PROCESS_TAG in run.tags and not tagged_lives(run.tags[PROCESS_TAG])
    ]
    return _fail(instance, orphans)


def fail_launched(instance: dg.DagsterInstance, home: Path) -> int:
    """End the runs that a code server of this host had launched, unless something of that time lives still;
    returns how many.

    For the moment before the services start. Run monitoring would find them too, but one that had not
    come to its first event only after minutes.
    """
    if _processes_of(home):
        return 0
    return _fail(instance, [run for run in _unfinished(instance) if PROCESS_TAG not in run.tags])


def fail_unlaunched(instance: dg.DagsterInstance) -> int:
    """End the runs that the daemon was about to launch when it died, before it had asked a code server; returns how
    many.

    For the moment before another daemon starts, since nobody else launches runs.
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
    """Processes besides this one that have this DAGSTER_HOME."""
    return [
        process.pid
        for process in psutil.process_iter(["environ", "status"])
        if process.pid != os.getpid()
        and (process.info["environ"] or {}).get("DAGSTER_HOME") == str(home)
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]
