"""A partition whose steps are executed elsewhere: a process each, or Celery's workers with a device each."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import which

import dagster as dg
import pytest

from sensory_pipeline.automation.executors import executor
from sensory_pipeline.automation.instance import open_instance
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.definitions import build
from sensory_pipeline.engines.device_discovery import run_devices
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.setup import runner
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage.local import objects
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.command import environment
from sensory_pipeline_tests.lakes import rows
from sensory_pipeline_tests.ports import free_port, wait_for
from sensory_pipeline_tests.trivial_definitions import process_recordings, uses
from sensory_pipeline_tests.trivial_engines import slow

STEPS = ["diarization", "emotions", "merged_parquet", "normalized_audio", "transcripts"]
DEVICES = ("cpu:0", "cpu:1")
GPU_STEPS = {"transcripts", "diarization", "emotions"}


@pytest.fixture
def partition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Partition:
    """With two recordings, registered in a lake that the settings name."""
    settings = {"SENSORY_LAKE": str(tmp_path / "lake"), "SENSORY_SHARDS": "1", "SENSORY_WORKERS": "1"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return register(tmp_path, (300, 310))


def register(folder: Path, lengths_ms: Iterable[int]) -> Partition:
    """Recordings that are pending then, in the lake that the settings name."""
    for length_ms in lengths_ms:
        tone(folder / "in" / f"{length_ms}.wav", length_ms)
    lake = Lake.create(folder / "lake", shards=1, start_date=Settings().start_date)
    with runner(Settings(), engines=slow) as ready:
        found = objects(folder / "in")
        lake.ledger.register(
            found, fingerprint=lambda _: ready.context.plans.default.fingerprint, shards=1, start_date=lake.start_date
        )
    (partition,) = lake.ledger.pending_partitions()
    return partition


def executed(lake: Path, partition: Partition) -> list[dg.EventLogEntry]:
    """The log of a run that went well."""
    with open_instance(lake / ".dagster") as instance:
        keys = {"dagster/partition": partition.key, "sensory/device": "cpu:1"}
        job = dg.reconstructable(process_recordings)
        result = dg.execute_job(job, instance=instance, tags=keys, raise_on_error=True)
        assert rows(lake, "SELECT DISTINCT status FROM recordings") == [("ok",)]
        return list(instance.all_logs(result.run_id))


def test_a_process_each(partition: Partition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENSORY_DEVICES", ",".join(DEVICES))
    monkeypatch.setenv("SENSORY_EXECUTOR", "multiprocess")
    log = executed(tmp_path / "lake", partition)
    used = [use for use in uses(tmp_path / "lake") if use["pid"]]
    assert len({use["pid"] for use in used}) == len(STEPS)
    assert {(use["device"], use["shared"]) for use in used} == {("cpu:1", False)}
    working: set[str] = set()
    for entry in log:
        event = entry.dagster_event
        if event and event.step_key in GPU_STEPS and event.event_type is dg.DagsterEventType.STEP_START:
            working.add(event.step_key)
        elif event and event.step_key in GPU_STEPS and event.event_type is dg.DagsterEventType.STEP_SUCCESS:
            working.remove(event.step_key)
        assert len(working) <= 1


def test_stages_side_by_side_in_the_process_of_the_run(
    partition: Partition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENSORY_SIDE_BY_SIDE", "true")
    register(tmp_path, range(320, 400, 10))
    log = executed(tmp_path / "lake", partition)
    # transcribing a recording takes 0.3 s
    order = [stage for (stage,) in rows(tmp_path / "lake", "SELECT stage FROM stages ORDER BY made_at")]
    assert order.index("emotions") < len(order) - 1 - order[::-1].index("transcripts")
    (published,) = [
        entry.dagster_event.step_materialization_data.materialization.metadata
        for entry in log
        if entry.dagster_event and entry.dagster_event.is_step_materialization and entry.step_key == "merged_parquet"
    ]
    assert {"timeline", "timeline_json", "device_idle_share"} < set(published)


@pytest.mark.filterwarnings(
    "ignore:Task name 'execute_plan'"
)  # dagster-celery's; in a run of its own it is a line of the log
@pytest.mark.skipif(which("redis-server") is None, reason="Redis is not installed: apt install redis-server")
def test_celery_with_two_workers_on_a_device_each(
    partition: Partition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dagster_celery", reason="the extra celery is not installed: make test")
    with redis(tmp_path) as broker, ExitStack() as workers:
        monkeypatch.setenv("SENSORY_EXECUTOR", "celery")
        monkeypatch.setenv("SENSORY_CELERY_BROKER", broker)
        for device in DEVICES:
            workers.enter_context(worker(device, broker, tmp_path))
        monkeypatch.setenv("SENSORY_DEVICES", "2")
        log = executed(tmp_path / "lake", partition)
    by_worker = {
        entry.dagster_event.step_key: entry.dagster_event.engine_event_data.metadata["Celery worker"].value
        for entry in log
        if entry.dagster_event and "in celery worker" in str(entry.dagster_event.message)
    }
    assert sorted(map(str, by_worker)) == STEPS
    used = [use for use in uses(tmp_path / "lake") if use["pid"]]
    assert len(used) == len(STEPS)
    # transcripts and diarization at once
    assert {use["device"] for use in used} == {str(host).split("@")[0] for host in by_worker.values()} == set(DEVICES)
    assert not any(use["shared"] for use in used)
    assert "hush" not in repr(log)


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A broker's URL, password and all."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", "hush"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield f"redis://:hush@127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def worker(device: str, broker: str, folder: Path) -> Iterator[None]:
    """As docs/automation.md starts it."""
    celery = str(Path(sys.executable).with_name("celery"))
    command = [celery, "-A", "sensory_pipeline.automation.celery_worker", "worker", "--pool", "solo"]
    given = {"SENSORY_EXECUTOR": "celery", "SENSORY_CELERY_BROKER": broker, "SENSORY_DEVICES": device}
    lake = {"SENSORY_LAKE": str(folder / "lake"), "SENSORY_SHARDS": "1", "SENSORY_WORKERS": "1"}
    with (folder / f"{device}.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--queues", "gpu,dagster", "--hostname", f"{device}@%h"],
            cwd=folder,
            env=environment(**given, **lake),
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)
        print((folder / f"{device}.log").read_text())  # noqa: T201 - shown when the test fails


def test_kubernetes_gets_a_gpu_for_each_step_that_calculates_on_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # there is no cluster here: only what is sent to it is tested
    dagster_k8s = pytest.importorskip("dagster_k8s", reason="the extra k8s is not installed: make test")
    monkeypatch.setenv("SENSORY_EXECUTOR", "k8s")
    job = build(Settings()).resolve_job_def("process_recordings")
    assert job.executor_def is dagster_k8s.k8s_job_executor
    limits = {
        node.name: dagster_k8s.job.get_user_defined_k8s_config(node.tags).container_config for node in job.graph.nodes
    }
    assert {name for name, container in limits.items() if container} == GPU_STEPS
    assert limits["transcripts"] == {"resources": {"limits": {"nvidia.com/gpu": "1"}}}


def test_elsewhere_the_devices_are_only_counted() -> None:
    assert [device.name for device in run_devices("2", "", elsewhere=True)] == ["cuda:0", "cuda:1"]
    with pytest.raises(ConfigurationError, match="say how many"):
        run_devices("auto", "", elsewhere=True)


def test_celery_without_a_broker_says_which_setting_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dagster_celery", reason="the extra celery is not installed: make test")
    with pytest.raises(ConfigurationError, match="SENSORY_CELERY_BROKER is not set"):
        executor(Settings(executor="celery"))


@pytest.mark.parametrize(("name", "module"), [("celery", "dagster_celery"), ("k8s", "dagster_k8s")])
def test_a_missing_package_names_its_extra(name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=rf"pip install 'sensory-pipeline\[{name}\]'"):
        executor(Settings(executor=name, celery_broker="redis://127.0.0.1"))
