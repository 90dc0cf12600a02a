"""Dagster's services are started again, but not for ever; and what of a run's process is known."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import EngineEventData  # noqa: TID251 - to say what Dagster says

from sensory_pipeline.automation.instance import open_instance
from sensory_pipeline.automation.orphans import PROCESS_TAG, fail_launched, fail_unlaunched, lives, this_process
from sensory_pipeline.automation.services import MOST_DEATHS, Service
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.dagster_internals import WorkerStatus
from sensory_pipeline.definitions import defs
from sensory_pipeline.settings import environment_with


def test_a_service_that_does_not_stay_up_is_given_up() -> None:
    service = Service(name="nothing", command=["no_such_module_of_ours"], environment=environment_with())
    with pytest.raises(ConfigurationError, match="Dagster's nothing does not stay up"):
        for _ in range(MOST_DEATHS + 1):
            service.keep_up()
            assert service.process is not None
            service.process.wait(30)


def test_a_reused_process_number_is_not_the_same_process() -> None:
    began = time.time()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert lives(process.pid, began_s=began + 1)
        assert not lives(process.pid, began_s=began - 60)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie
        assert not lives(process.pid, began_s=began + 1)
    assert not lives(process.pid, began_s=began + 1)


def test_launched_runs_without_a_process_are_ended_before_the_services_start(tmp_path: Path) -> None:
    job = defs().resolve_job_def("process_recordings")
    with open_instance(tmp_path / "home") as instance:
        launched = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTING).run_id
        ingesting = instance.create_run_for_job(job, tags=this_process(), status=dg.DagsterRunStatus.STARTED).run_id
        environment = environment_with(DAGSTER_HOME=str(tmp_path / "home"))
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=environment) as worker:
            assert fail_launched(instance, tmp_path / "home") == 0
            worker.kill()
        assert fail_launched(instance, tmp_path / "home") == 1
        statuses = {run.run_id: run.status for run in instance.get_runs()}
        assert statuses == {launched: dg.DagsterRunStatus.FAILURE, ingesting: dg.DagsterRunStatus.STARTED}


def test_runs_that_the_last_daemon_did_not_launch_are_ended_before_a_new_one_starts(tmp_path: Path) -> None:
    job = defs().resolve_job_def("process_recordings")
    with open_instance(tmp_path / "home") as instance:
        asked = {".dagster/grpc_info": '{"host": "localhost", "socket": "/tmp/code.sock"}'}
        starting = dg.DagsterRunStatus.STARTING
        launched, ingesting, unlaunched = (
            instance.create_run_for_job(job, tags=tags, status=starting).run_id for tags in (asked, this_process(), {})
        )
        assert fail_unlaunched(instance) == 1
        statuses = {run.run_id: run.status for run in instance.get_runs()}
    assert statuses == {launched: starting, ingesting: starting, unlaunched: dg.DagsterRunStatus.FAILURE}


def test_a_run_lives_with_any_process_that_was_started_for_it(tmp_path: Path) -> None:
    job = defs().resolve_job_def("process_recordings")
    with open_instance(tmp_path / "home") as instance:
        tags = {".dagster/grpc_info": '{"host": "localhost", "socket": "/tmp/code.sock"}'}
        run = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
            for pid in (99999999, process.pid):
                # as Dagster says it; the first was started just before the code server died
                instance.report_engine_event(
                    f"Started process for run (pid: {pid}).", run, EngineEventData.in_process(pid)
                )
            assert instance.run_launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING
            process.kill()
        assert instance.run_launcher.check_run_worker_health(run).status is WorkerStatus.NOT_FOUND


def test_run_monitoring_leaves_a_run_of_ingest_alone(tmp_path: Path) -> None:
    job = defs().resolve_job_def("process_recordings")
    with open_instance(tmp_path / "home") as instance:
        (tag,) = this_process().values()
        host, pid, start = tag.rsplit(":", 2)
        gone = {PROCESS_TAG: f"{host}:{pid}:{float(start) - 60}"}
        runs = [
            instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
            for tags in (this_process(), gone, {})
        ]
        health = [instance.run_launcher.check_run_worker_health(run).status.value for run in runs]
        assert health == ["RUNNING", "NOT_FOUND", "NOT_FOUND"]
