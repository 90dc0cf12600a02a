"""Engines on several devices: a process that dies is replaced, and what it was working on is answered all the same."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.command import sensory
from sensory_pipeline_tests.gateway_server import Gateway, finished, gateway
from sensory_pipeline_tests.kennedy import KENNEDY
from sensory_pipeline_tests.live_server import connected, messages, send
from sensory_pipeline_tests.trivial_engines import HANGING, obedient
from sensory_pipeline_tests.waiting import eventually

DEVICES = "cpu:0,cpu:1"
LOADED_ON_BOTH = {"cpu:0": 1, "cpu:1": 1}
NOW: dict[str, Any] = {"settings": {"tasks": ["transcribe"]}}
LATER = {**NOW, "async_process": True}


def kill_the_hanging(folder: Path) -> None:
    """Once a process hangs."""
    eventually((folder / HANGING).exists)
    os.kill(int((folder / HANGING).read_text()), signal.SIGKILL)
    (folder / HANGING).unlink()


def processes() -> set[int]:
    return {child.pid for child in multiprocessing.active_children() if child.pid is not None}


def loads(service: Gateway) -> dict[str, int]:
    devices = service.http.get("/cache/stats").json()["devices"]
    return {device: counts["loads"] for device, counts in devices.items()}


def test_a_process_that_dies_is_replaced_and_its_requests_are_answered(tmp_path: Path) -> None:
    told, short, other = tmp_path / "told", tone(tmp_path / "short.wav", 300), tone(tmp_path / "other.wav", 310)
    with (
        gateway(tmp_path / "spool", engines=partial(obedient, told), devices=DEVICES) as service,
        ThreadPoolExecutor(1) as threads,
    ):
        service.wait_until_ready()
        for wanted in (NOW, LATER):
            eventually(lambda: loads(service) == LOADED_ON_BOTH)
            told.touch()
            waiting = threads.submit(service.process, short, wanted)
            kill_the_hanging(tmp_path)
            assert service.http.get("/health/ready").status_code == 200
            assert service.process(other, NOW).json()["result"]["tra"]["text"] == "310"
            answer = waiting.result(60)
            assert answer.status_code == 200
            done = finished(service, answer.json()["job_id"]) if wanted is LATER else answer.json()
            assert (done["error"], done["result"]["tra"]["text"]) == (None, "300")
        eventually(lambda: loads(service) == LOADED_ON_BOTH)
        idle = processes()
        assert len(idle) == 2
        for pid in idle:
            os.kill(pid, signal.SIGKILL)
        # before anybody asks for anything
        eventually(lambda: len(processes() - idle) == 2 and loads(service) == LOADED_ON_BOTH)
        assert service.process(short, NOW).status_code == 200
        stats, page = service.http.get("/cache/stats").json(), service.http.get("/metrics").text
        assert (stats["processes"], stats["loads"], stats["size_bytes"]) == (2, 2, 10)
        assert 'sensory_models{count="loads",device="cpu:1"} 1.0' in page
        assert 'sensory_model_bytes{device="cpu:0"} 5.0' in page


def test_a_live_stream_goes_on_when_its_process_dies(tmp_path: Path) -> None:
    told, half = tmp_path / "told", len(KENNEDY) // 4 * 2
    with gateway(tmp_path / "spool", engines=partial(obedient, told), devices=DEVICES) as service:
        eventually(lambda: loads(service) == LOADED_ON_BOTH)
        with connected(service.url.replace("http", "ws")) as client:
            send(client, KENNEDY[:half])
            told.touch()
            send(client, KENNEDY[half:])
            client.send(b"")
            kill_the_hanging(tmp_path)
            found = messages(client)
            assert client.close_code == 1000
    assert not [message for message in found if "error" in message]
    assert [message for message in found if message.get("words")]


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    refused = sensory("serve", "--devices", "cuda:7", cwd=tmp_path)
    assert refused.returncode == 2
    assert "SENSORY_DEVICES is 'cuda:7'" in refused.stderr
