"""`sensory dev` brings up Dagster's UI with our assets and the lake's runs, and goes down as a whole."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import psutil
import pytest

from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.lakes import ingested

STARTS_WITHIN_S = 120
ASKED = """{
  assetNodes { assetKey { path } isPartitioned }
  runsOrError { ... on Runs { results { status } } }
  instance { daemonHealth { allDaemonStatuses { daemonType healthy } } }
}"""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    tone(tmp_path / "in" / "a.wav", 500)
    ingested(tmp_path / "in", tmp_path / "lake", shards=1, workers=1)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    sensory = str(Path(sys.executable).with_name("sensory"))
    command = [sensory, "dev", "--lake", str(tmp_path / "lake"), "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True)
    try:
        yield server, f"http://127.0.0.1:{port}"
    finally:
        print((tmp_path / "log").read_text()[-4000:])  # noqa: T201 - shown when the test fails
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def test_the_ui_answers_and_ends_with_its_command(address: tuple[subprocess.Popen[bytes], str]) -> None:
    server, url = address
    answer = _when_up(server, url)
    assert {
        "/".join(node["assetKey"]["path"]): node["isPartitioned"] for node in answer["assetNodes"]
    } == dict.fromkeys(("normalized_audio", "transcripts", "diarization", "emotions", "merged_parquet"), True)
    assert [run["status"] for run in answer["runsOrError"]["results"]] == ["SUCCESS"]
    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    listening = {c.laddr.ip for p in family for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    assert listening <= {"127.0.0.1", "::1"}
    server.send_signal(signal.SIGINT)
    server.wait(timeout=60)
    _, alive = psutil.wait_procs(family[1:], timeout=30)
    assert alive == []


def _when_up(server: subprocess.Popen[bytes], url: str) -> dict[str, Any]:
    """What the UI says of itself, as soon as it has loaded our assets."""
    question = Request(
        f"{url}/graphql", json.dumps({"query": ASKED}).encode(), headers={"Content-Type": "application/json"}
    )
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until:
        assert server.poll() is None, "it ended"
        try:
            with urlopen(question, timeout=30) as response:
                answer: dict[str, Any] = json.load(response)["data"]
            if answer["assetNodes"]:
                return answer
        except (URLError, ConnectionError, TimeoutError):
            pass
        time.sleep(0.5)
    raise TimeoutError(f"no assets at {url} within {STARTS_WITHIN_S} s")
