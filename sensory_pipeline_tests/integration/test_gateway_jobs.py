"""Background jobs: a job that was answered with "queued" is done once, even if the service is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.gateway import background_jobs
from sensory_pipeline.gateway.admission import AT_ONCE
from sensory_pipeline.gateway.background_jobs import Background
from sensory_pipeline.gateway.job_store import MOST_STARTS, Job, JobStore
from sensory_pipeline_tests import trivial_engines
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.gateway_server import Gateway, finished, gateway, killable, process
from sensory_pipeline_tests.ports import free_port
from sensory_pipeline_tests.waiting import eventually
from sensory_pipeline_tests.webhook_receiver import SECRET, listening

NOW: dict[str, Any] = {"settings": {"tasks": ["transcribe"]}}
LATER = {**NOW, "async_process": True}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("jobs") / "spool") as running:
        yield running


def test_a_job_is_answered_at_once_and_done_later(service: Gateway, tmp_path: Path) -> None:
    sent = service.process(tone(tmp_path / "a.wav", 400), LATER)
    assert (sent.status_code, sent.json()["status"], sent.json()["result"]) == (200, "queued", None)
    identity = sent.json()["job_id"]
    done = finished(service, identity)
    assert (done["status"], done["error"], done["result"]["tra"]["text"]) == ("completed", None, "400")
    assert {"status": "completed", "job_id": identity, "result": None, "error": None} in service.http.get(
        "/v1/jobs"
    ).json()


def test_an_upload_that_is_not_a_recording_is_refused_at_once(service: Gateway, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("not a sound " * 50)
    assert service.process(tmp_path / "text.wav", LATER).status_code == 415


def test_a_job_that_fails_says_why(service: Gateway, tmp_path: Path) -> None:
    wanted = {**LATER, "settings": {"tra": {"language": "ru"}}}
    failed = finished(service, service.process(tone(tmp_path / "a.wav", 410), wanted).json()["job_id"])
    assert (failed["status"], failed["error"]) == ("failed", "trivial speaks no ru")


def test_a_deleted_job_is_gone(service: Gateway, tmp_path: Path) -> None:
    identity = service.process(tone(tmp_path / "a.wav", 420), LATER).json()["job_id"]
    assert service.http.delete(f"/v1/jobs/{identity}").status_code == 204
    assert service.http.get(f"/v1/jobs/{identity}").status_code == 404
    assert service.http.delete(f"/v1/jobs/{identity}").status_code == 404


def test_the_same_key_is_the_same_job(service: Gateway, tmp_path: Path) -> None:
    recording = tone(tmp_path / "a.wav", 430)
    first = service.process(recording, LATER, headers={"Idempotency-Key": "later"})
    again = service.process(recording, LATER, headers={"Idempotency-Key": "later"})
    assert first.json()["job_id"] == again.json()["job_id"]
    other = service.process(tone(tmp_path / "b.wav", 440), LATER, headers={"Idempotency-Key": "later"})
    assert (other.status_code, other.json()["type"]) == (422, "urn:sensory:key-used")
    now = service.process(recording, NOW, headers={"Idempotency-Key": "now"})
    assert (now.status_code, now.json()["result"]["tra"]["text"]) == (200, "430")
    assert service.process(recording, NOW, headers={"Idempotency-Key": "now"}).json() == now.json()
    refused = service.process(recording, NOW, headers={"Idempotency-Key": "with a blank"})
    assert refused.status_code == 422


def test_the_same_key_at_once_is_a_conflict(tmp_path: Path) -> None:
    recording = tone(tmp_path / "a.wav", trivial_engines.CULPRIT_MS)
    key = {"Idempotency-Key": "k"}
    with gateway(tmp_path / "spool", engines=trivial_engines.hanging) as service, ThreadPoolExecutor(1) as threads:
        first = threads.submit(service.process, recording, NOW, headers=key)
        while not (jobs := service.http.get("/v1/jobs").json()):
            time.sleep(0.02)
        again = service.process(recording, NOW, headers=key)
        assert (again.status_code, again.json()["type"]) == (409, "urn:sensory:under-way")
        assert int(again.headers["retry-after"]) >= 1
        assert service.http.delete(f"/v1/jobs/{jobs[0]['job_id']}").status_code == 204
        assert (first.result().status_code, first.result().json()["type"]) == (409, "urn:sensory:job-deleted")


def test_a_job_that_failed_for_another_reason_is_done_again(tmp_path: Path) -> None:
    recording = tone(tmp_path / "a.wav", 460)
    with gateway(tmp_path / "spool", engines=trivial_engines.broken) as service:
        assert service.process(recording, NOW, headers={"Idempotency-Key": "k"}).status_code == 500
        assert [one["status"] for one in service.http.get("/v1/jobs").json()] == ["failed"]
    with gateway(tmp_path / "spool") as service:
        assert service.process(recording, NOW, headers={"Idempotency-Key": "k"}).status_code == 200
        assert [one["status"] for one in service.http.get("/v1/jobs").json()] == ["completed"]


def job(identity: str, **fields: Any) -> Job:
    about: dict[str, Any] = {
        "client": "anna",
        "state": "queued",
        "request": "{}",
        "digest": "d",
        "idempotency_key": None,
        "audio_s": 1.0,
        "created_s": 1.0,
    }
    return Job(id=identity, **{**about, **fields})


def test_a_result_is_written_once(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs.sqlite")
    store.add(job("a"))
    assert store.begin("a") == 1
    store.complete("a", '{"tra": 1}')
    store.complete("a", '{"tra": 2}')
    store.fail("a", 500, "failed", "no")
    found = store.get("a", "anna")
    assert found is not None
    assert (found.state, found.result, found.error) == ("completed", '{"tra": 1}', None)
    assert store.begin("a") == 0


def test_jobs_of_others_are_hidden(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs.sqlite")
    store.add(job("a", idempotency_key="k"))
    store.add(job("b", idempotency_key="k", client="boris"))
    with pytest.raises(KeyError):
        store.add(job("c", idempotency_key="k"))
    assert store.get("a", "boris") is None
    assert [one.id for one in store.of("boris", 10)] == ["b"]
    assert not store.remove("a", "boris")
    assert store.counts() == {"queued": 2, "processing": 0, "completed": 0, "failed": 0}


def test_results_expire(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs.sqlite")
    for identity in ("done", "waits"):
        store.add(job(identity))
    store.begin("done")
    store.complete("done", "{}")
    assert store.expire(time.time() - 3600) == 0
    assert store.expire(time.time() + 1) == 1
    assert [one.id for one in store.unfinished()] == ["waits"]


def test_jobs_expire_once_an_error_has_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_jobs, "_SWEEP_S", 0.01)
    database, kept = tmp_path / background_jobs.DATABASE, tmp_path / "kept"

    async def work(_job: Job, _path: Path) -> dict[str, Any]:
        return {}

    async def day() -> None:
        background = Background(tmp_path, limit_s=1, ttl_s=0, work=work)
        background.store.add(job("done"))
        background.store.complete("done", "{}")
        await background.start()
        database.replace(kept)
        database.write_bytes(b"damaged " * 1000)
        async with asyncio.timeout(60):
            with capture_logs() as logged:
                while not any(entry["event"] == "expiry_failed" for entry in logged):
                    await asyncio.sleep(0.01)
            kept.replace(database)
            while background.store.get("done", "anna") is not None:
                await asyncio.sleep(0.01)
        await background.stop()

    asyncio.run(day())


def test_after_a_kill_every_job_is_done_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soak: bool) -> None:
    spool, count = tmp_path / "spool", 50 if soak else AT_ONCE + 4
    hangs, *others = [trivial_engines.CULPRIT_MS + 10 * number for number in range(count)]

    def send(service: Gateway, ms: int, wanted: dict[str, Any]) -> str:
        recording, key = tone(tmp_path / f"{ms}.wav", ms), {"Idempotency-Key": str(ms)}
        return str(service.process(recording, wanted, headers=key).json()["job_id"])

    def states(service: Gateway) -> Counter[str]:
        return Counter(one["status"] for one in service.http.get("/v1/jobs").json())

    monkeypatch.setenv("SENSORY_JOB_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("SENSORY_JOB_WEBHOOK_ANY_ADDRESS", "true")
    monkeypatch.setenv("SENSORY_SIDE_BY_SIDE", "true")  # so that what hangs does not keep others from being decoded
    with listening() as receiver, ThreadPoolExecutor(8) as threads:
        receiver.silent.set()  # what is sent before the kill is never accepted
        wanted = {**LATER, "webhook_url": receiver.url}
        with killable(spool, "hanging") as (first, service):
            sent = {send(service, hangs, wanted): str(hangs)}
            eventually(lambda: states(service)["processing"] == 1)
            keys = threads.map(partial(send, service, wanted=wanted), others)
            sent.update(zip(keys, map(str, others), strict=True))
            eventually(lambda: states(service)["processing"] == AT_ONCE)
            assert states(service)["queued"]
            os.kill(first.pid, signal.SIGKILL)
            first.wait()
        receiver.silent.clear()
        monkeypatch.setenv("SENSORY_SIDE_BY_SIDE", "false")
        with killable(spool) as (_, service):
            # a client that did not get the answer sends it again
            assert sent[send(service, hangs, wanted)] == str(hangs)
            texts = {identity: finished(service, identity)["result"]["tra"]["text"] for identity in sent}
            assert states(service) == {"completed": count}
            told = receiver.until(count)
    assert texts == sent
    assert {job["job_id"]: job["status"] for job in told} == dict.fromkeys(sent, "completed")
    assert not list((spool / "jobs").glob("*.audio"))


def test_a_job_that_kills_the_service_repeatedly_is_given_up(tmp_path: Path) -> None:
    folder = tmp_path / "spool" / "jobs"
    folder.mkdir(parents=True)
    store = JobStore(folder / "jobs.sqlite")
    store.add(job("fatal", client="127.0.0.1", request='{"settings": {}}'))
    tone(folder / "fatal.audio", 300)
    for _ in range(MOST_STARTS):
        store.begin("fatal")
    with gateway(tmp_path / "spool") as service:
        assert finished(service, "fatal")["error"].startswith(f"the service crashed {MOST_STARTS} times")


def test_a_second_service_leaves_the_spool_alone(tmp_path: Path) -> None:
    with gateway(tmp_path / "spool") as service:
        port = free_port()
        with process(tmp_path / "spool", port, "trivial") as second:
            assert second.wait(60) != 0
        assert f"another service uses {tmp_path / 'spool'}" in (tmp_path / "service.log").read_text()
        assert service.http.get("/health/live").status_code == 200


def test_a_store_that_cannot_be_used_says_where(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=str(tmp_path)):
        JobStore(tmp_path / "nowhere" / "jobs.sqlite")


def test_a_damaged_store_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(ConfigurationError, match=r"jobs\.sqlite is damaged .*: move it away"):
        JobStore(path)
