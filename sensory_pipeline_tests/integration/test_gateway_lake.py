"""Background jobs that the lake's runs do: over HTTP in, by a nightly run done, in tables and answer alike."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.core.recordings import recording_id
from sensory_pipeline.gateway.lake_jobs import LakeJobs
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.setup import current_plans
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage import s3_client
from sensory_pipeline.storage.local import uri_of
from sensory_pipeline.storage.s3_access import S3Access
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.gateway_server import Gateway, finished, gateway, killable
from sensory_pipeline_tests.lakes import ingested, rows
from sensory_pipeline_tests.s3_servers import Bucket, connect, disconnect, moto
from sensory_pipeline_tests.trivial_engines import CULPRIT_MS, segfaulting, trivial
from sensory_pipeline_tests.waiting import eventually

NOW: dict[str, Any] = {
    "settings": {"tasks": ["transcribe", "diarization", "emotion"], "emo": {"analysis_level": "sentence"}}
}
LATER = {**NOW, "async_process": True}


@pytest.fixture
def inbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Watched by a lake beside it."""
    folder = tmp_path / "inbox"
    settings = {"SENSORY_LAKE": tmp_path / "lake", "SENSORY_SHARDS": 1, "SENSORY_SOURCES": json.dumps([str(folder)])}
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    return folder


def test_a_run_processes_a_job_and_the_next_service_returns_its_result(inbox: Path, tmp_path: Path) -> None:
    with gateway(tmp_path / "spool", inbox=str(inbox)) as service:
        good, bad = (service.process(tone(tmp_path / f"{ms}.wav", ms), LATER).json() for ms in (300, CULPRIT_MS))
        assert (good["status"], bad["status"]) == ("queued", "queued")
        now = service.process(tmp_path / "300.wav", NOW).json()["result"]
        assert service.http.get(f"/v1/jobs/{good['job_id']}").json()["status"] == "queued"
    report = ingested(inbox, tmp_path / "lake", engines=segfaulting, shards=1)
    assert (report.published, report.failed) == (2, 1)
    with gateway(tmp_path / "spool", inbox=str(inbox)) as service:
        assert finished(service, good["job_id"])["result"] == now
        failed = finished(service, bad["job_id"])
        assert (failed["status"], failed["result"]) == ("failed", None)
        assert failed["error"].startswith("the recording crashed the engine")
    key = recording_id(uri_of(inbox / f"{good['job_id']}.wav"))
    assert rows(tmp_path / "lake", f"SELECT text FROM utterances WHERE recording_id = '{key}'") == [("300",)]


def test_after_a_kill_during_a_run_every_job_is_done_once(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soak: bool
) -> None:
    monkeypatch.setenv("SENSORY_INBOX", str(inbox))
    count = 50 if soak else 6
    lengths = [300 + 10 * number for number in range(count)]
    sent: dict[str, str] = {}

    def send(service: Gateway, some: list[int]) -> None:
        sent.update((service.process(tone(tmp_path / f"{ms}.wav", ms), LATER).json()["job_id"], f"{ms}") for ms in some)

    with killable(tmp_path / "spool") as (process, service):
        send(service, lengths[::2])
        eventually(lambda: len(list(inbox.glob("*.wav"))) == len(sent))

        def run_begins() -> None:
            if process.poll() is None:
                send(service, lengths[1::2])
                process.kill()
                process.wait()

        report = ingested(inbox, tmp_path / "lake", meanwhile=run_begins)
    assert report.published >= len(lengths[::2])
    with gateway(tmp_path / "spool", inbox=str(inbox)) as service:
        eventually(lambda: len(list(inbox.glob("*.wav"))) == count)
        ingested(inbox, tmp_path / "lake")
        done = {identity: finished(service, identity) for identity in sent}
    assert {identity: answer["result"]["tra"]["text"] for identity, answer in done.items()} == sent
    texts = rows(tmp_path / "lake", "SELECT text FROM utterances")
    assert sorted(text for (text,) in texts) == sorted(sent.values())
    assert rows(tmp_path / "lake", "SELECT count(*) FROM recordings") == [(count,)]


def test_a_job_with_settings_unlike_the_lakes_is_refused_by_name(inbox: Path, tmp_path: Path) -> None:
    with gateway(tmp_path / "spool", inbox=str(inbox)) as service:
        recording = tone(tmp_path / "a.wav", 300)
        for part, options in (("tra", {"beam_size": 1}), ("emo", {"analysis_level": "word"})):
            wanted = {**LATER, "settings": {**LATER["settings"], part: options}}
            refused = service.process(recording, wanted)
            assert refused.status_code == 422
            assert [problem["field"] for problem in refused.json()["errors"]] == [f"settings: {part}"]
            assert service.process(recording, {**wanted, "async_process": False}).status_code == 200
        # a job only by its key is somebody's who waits
        keyed = service.process(recording, NOW, headers={"Idempotency-Key": "k"})
        assert (keyed.status_code, keyed.json()["result"]["tra"]["text"]) == (200, "300")
    assert not list(inbox.iterdir())


def test_an_inbox_outside_the_sources_is_refused(inbox: Path, tmp_path: Path) -> None:
    settings = Settings()
    lake = Lake.create(settings.lake, shards=1, start_date=settings.start_date)
    with pytest.raises(ConfigurationError, match="SENSORY_SOURCES does not hold"):
        LakeJobs(lake, current_plans(settings, engines=trivial), str(tmp_path / "elsewhere"))
    assert not (tmp_path / "elsewhere").exists()


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """Watched by a lake, which finds its server by the pipeline's own setting."""
    with moto() as server, closing(server.client()) as client:
        connect(server, monkeypatch)
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        found = Bucket(server, client)
        settings = {
            "SENSORY_LAKE": tmp_path / "lake",
            "SENSORY_SHARDS": 1,
            "SENSORY_SOURCES": json.dumps([found.uri("calls")]),
            "SENSORY_S3_ENDPOINT_URL": server.endpoint,
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, str(value))
        yield found
        s3_client.client(S3Access.of(Settings())).close()
        disconnect()


def test_the_inbox_may_be_in_s3(bucket: Bucket, tmp_path: Path) -> None:
    inbox = bucket.uri("calls/in box")
    with gateway(tmp_path / "spool", inbox=str(inbox)) as service:
        recording = tone(tmp_path / "a.wav", 300)
        job = service.process(recording, LATER).json()["job_id"]
        now = service.process(recording, NOW).json()["result"]
        end = time.monotonic() + 30
        while not (found := bucket.client.list_objects_v2(Bucket=bucket.name).get("Contents")):
            assert time.monotonic() < end, "nothing was put into the inbox"
            time.sleep(0.05)
        assert [item["Key"] for item in found] == [f"calls/in box/{job}.wav"]
        assert (
            bucket.client.get_object(Bucket=bucket.name, Key=found[0]["Key"])["Body"].read() == recording.read_bytes()
        )
    report = ingested(bucket.uri("calls"), tmp_path / "lake", shards=1)
    assert (report.published, report.failed) == (1, 0)
    with gateway(tmp_path / "spool", inbox=str(inbox)) as service:
        assert finished(service, job)["result"] == now
    uri = bucket.uri(f"calls/in%20box/{job}.wav")
    assert rows(tmp_path / "lake", "SELECT uri, text FROM utterances") == [(uri, "300")]
