"""What the service lets in, and what it does when there is too much, or nobody waits any more."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from sensory_pipeline.gateway.admission import AT_ONCE, LONG_S, Admission
from sensory_pipeline.gateway.problems import Problem
from sensory_pipeline_tests import trivial_engines
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.gateway_server import Gateway, gateway
from sensory_pipeline_tests.waiting import eventually

WANTED: dict[str, Any] = {"settings": {"tasks": ["transcribe"]}}


def head(service: Gateway, length: int | None, recording: bytes) -> bytes:
    """Of a form by hand, up to the recording's first bytes. length: that it declares; None for chunks."""
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    body = b'--x\r\nContent-Disposition: form-data; name="audio"; filename="a.wav"\r\n\r\n' + recording
    lines = f"POST /v1/process HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n{size}"
    return lines.encode() + b"\r\n\r\n" + (chunk(body) if length is None else body)


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def connected(service: Gateway) -> socket.socket:
    address = urlsplit(service.url)
    return socket.create_connection((address.hostname, address.port), timeout=30)


def sent_by_hand(service: Gateway, path: Path) -> socket.socket:
    """A whole request, on a line that can be cut."""
    end = b'\r\n--x\r\nContent-Disposition: form-data; name="request_json"\r\n\r\n{"settings": {}}\r\n--x--\r\n'
    recording = path.read_bytes()
    before = len(head(service, 0, b"").partition(b"\r\n\r\n")[2])
    line = connected(service)
    line.sendall(head(service, before + len(recording) + len(end), recording) + end)
    return line


def kept(spool: Path) -> list[Path]:
    """Files of requests."""
    # os.walk passes over a folder that goes meanwhile
    walks = (walk for name in ("uploads", "decoded") for walk in os.walk(spool / name))
    return [Path(folder) / name for folder, _, names in walks for name in names]


def test_an_upload_is_counted_while_it_comes(tmp_path: Path) -> None:
    with gateway(tmp_path / "spool", max_upload_mb=0.1) as service:
        declared = service.process(tone(tmp_path / "long.wav", 10_000), WANTED)
        assert (declared.status_code, declared.json()["type"]) == (413, "urn:sensory:upload-too-large")
        assert "SENSORY_MAX_UPLOAD_MB" in declared.json()["detail"]
        with connected(service) as undeclared:
            undeclared.sendall(head(service, None, b"\0" * 50_000))
            for _ in range(3):  # and no end of it
                undeclared.sendall(chunk(b"\0" * 50_000))
            assert undeclared.recv(100).startswith(b"HTTP/1.1 413 ")
        assert service.process(tone(tmp_path / "short.wav", 300), WANTED).status_code == 200
        eventually(lambda: not kept(tmp_path / "spool"))


def test_a_recording_that_is_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENSORY_MAX_AUDIO_HOURS", "0.0001")
    with gateway(tmp_path / "spool") as service:
        answer = service.process(tone(tmp_path / "a.wav", 1000), WANTED)
        assert (answer.status_code, answer.json()["type"]) == (413, "urn:sensory:audio-too-long")


def test_none_of_many_simultaneous_requests_is_lost(tmp_path: Path) -> None:
    recordings = [tone(tmp_path / f"{ms}.wav", ms) for ms in range(900, 924)]
    hours = 2.0 / 3600
    with gateway(tmp_path / "spool", queue_audio_hours=hours) as service, ThreadPoolExecutor(24) as threads:
        for path, answer in zip(
            recordings, threads.map(lambda path: service.process(path, WANTED), recordings), strict=True
        ):
            assert answer.status_code in (200, 429)
            assert answer.status_code == 429 or answer.json()["result"]["tra"]["text"] == path.stem
        assert service.process(recordings[0], WANTED).status_code == 200
        eventually(lambda: not kept(tmp_path / "spool"))


def test_requests_beyond_the_limits_are_refused_for_now(tmp_path: Path) -> None:
    recording = tone(tmp_path / "a.wav", trivial_engines.CULPRIT_MS)
    hours = 2 * trivial_engines.CULPRIT_MS / 1000 / 3600
    with gateway(
        tmp_path / "spool", engines=trivial_engines.hanging, side_by_side=True, queue_audio_hours=hours
    ) as service:
        waiting = [sent_by_hand(service, recording) for _ in range(AT_ONCE + 2)]
        eventually(lambda: metric(service, "sensory_recordings_at_work") == AT_ONCE, 60)
        eventually(lambda: metric(service, "sensory_queue_recordings") == 2, 60)
        refused = service.process(recording, WANTED)
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:sensory:queue-full")
        assert int(refused.headers["retry-after"]) >= 1
        for line in waiting:
            line.close()
        eventually(lambda: metric(service, "sensory_queue_recordings") == 0, 60)
        assert metric(service, "sensory_recordings_at_work") == 0


def test_a_request_is_dropped_if_its_client_disconnects(tmp_path: Path) -> None:
    engines = trivial_engines.slow
    with gateway(tmp_path / "spool", engines=engines) as service:
        service.wait_until_ready()
        recording = tone(tmp_path / "a.wav", 300)
        gone = [sent_by_hand(service, recording) for _ in range(AT_ONCE + 4)]
        with connected(service) as cut:  # in the middle of the upload
            cut.sendall(head(service, 10_000_000, recording.read_bytes()))
        eventually(lambda: metric(service, "sensory_recordings_at_work") > 0)
        for line in gone:
            line.close()
        assert service.process(tmp_path / "a.wav", WANTED).status_code == 200
        eventually(lambda: not kept(tmp_path / "spool"))
        assert metric(service, "sensory_queue_recordings") == 0


def metric(service: Gateway, name: str) -> float:
    lines = service.http.get("/metrics").text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


def test_a_request_that_waited_too_long_gets_a_deadline_error(tmp_path: Path) -> None:
    engines = trivial_engines.slow
    with gateway(tmp_path / "spool", engines=engines, request_timeout_s=0.1) as service:
        service.wait_until_ready()
        answer = service.process(tone(tmp_path / "a.wav", 300), WANTED)
        assert (answer.status_code, answer.json()["type"]) == (504, "urn:sensory:deadline")
        assert "async_process" in answer.json()["detail"]


def test_requests_have_an_id_in_answer_and_log_and_no_text_is_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with gateway(tmp_path / "spool") as service:
        service.wait_until_ready()
        wanted = {"settings": {"tra": {"log_progress": True, "initial_prompt": "secret words"}}}
        answer = service.process(tone(tmp_path / "private.wav", 777), wanted, headers={"X-Request-ID": "mine-1"})
        assert answer.headers["x-request-id"] == "mine-1"
        refused = service.process(tmp_path / "private.wav", "{", headers={"X-Request-ID": "not one!"})
        assert refused.json()["request_id"] == refused.headers["x-request-id"] != "not one!"
    logged = capsys.readouterr().out
    assert "request_id=mine-1" in logged
    assert "recognised" in logged
    assert not re.search(r"(?<![.0-9])777\b|secret|private", logged)  # its text, its prompt, its name


def test_the_queue_does_not_let_a_short_one_wait_behind_long_ones() -> None:
    order: list[str] = []

    async def work(admission: Admission, name: str, audio_s: float, gate: asyncio.Event) -> None:
        async with admission.turn("client", audio_s):
            order.append(name)
            await gate.wait()

    async def day() -> None:
        admission = Admission(limit_s=1e6, long_places=1)
        gate = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(work(admission, f"long {number}", LONG_S * 10, gate))
            await asyncio.sleep(0)
            group.create_task(work(admission, "short", 5, gate))
            await asyncio.sleep(0.01)
            assert order == ["long 0", "short"]
            gate.set()

    asyncio.run(day())
    assert sorted(order) == ["long 0", "long 1", "long 2", "short"]


def test_a_service_that_stops_refuses_waiting_requests() -> None:
    async def day() -> None:
        admission = Admission(limit_s=1e6, long_places=1)
        async with admission.turn("a", LONG_S * 2):
            waiting = asyncio.create_task(turn(admission))
            await asyncio.sleep(0.01)
            admission.close()
            with pytest.raises(Problem) as sent_away:
                await waiting
            assert (sent_away.value.status, sent_away.value.kind) == (503, "stopping")
            with pytest.raises(Problem):
                admission.check()
        assert admission.queue.waiting == admission.queue.at_work == 0

    async def turn(admission: Admission) -> None:
        async with admission.turn("b", LONG_S * 2):
            raise AssertionError("there is no place for it")

    asyncio.run(day())


def test_a_request_in_progress_is_finished_before_the_service_stops(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as threads:
        with gateway(tmp_path / "spool", engines=trivial_engines.slow) as service:
            service.wait_until_ready()
            under_way = threads.submit(service.process, tone(tmp_path / "a.wav", 300), WANTED)
            eventually(lambda: metric(service, "sensory_recordings_at_work") > 0)
        assert json.loads(under_way.result().text)["result"]["tra"]["text"] == "300"
