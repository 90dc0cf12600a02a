"""`sensory dev` as a process, asked over GraphQL like a browser would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import psutil

from sensory_pipeline_tests.ports import free_port

STARTS_WITHIN_S = 120
TRIVIAL = """
import sys
from pathlib import Path
from sensory_pipeline.automation.services import serve
from sensory_pipeline.settings import environment_with
lake, shards, port = sys.argv[1:]
home = Path(lake) / ".dagster"
environment = environment_with(DAGSTER_HOME=str(home), SENSORY_LAKE=lake, SENSORY_SHARDS=shards)
serve(home, environment, host="127.0.0.1", port=int(port), definitions="sensory_pipeline_tests.trivial_definitions")
"""
"""What `sensory dev` does, with engines that hardly take time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevServer:
    """A server that is up, or was. process leads a group of its own; url: of the UI."""

    process: subprocess.Popen[bytes]
    url: str

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """The data of a GraphQL answer. Raises AssertionError for an error, OSError when nobody listens."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        question = Request(f"{self.url}/graphql", body, headers={"Content-Type": "application/json"})
        with urlopen(question, timeout=60) as response:
            answer: dict[str, Any] = json.load(response)
        assert not answer.get("errors"), answer
        data: dict[str, Any] = answer["data"]
        return data

    def wait_until(self, holds: Callable[[], bool], *, within_s: float) -> None:
        """Raises TimeoutError."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            assert self.process.poll() is None, "it ended"
            try:
                if holds():
                    return
            except (URLError, ConnectionError, TimeoutError):
                pass
            time.sleep(0.5)
        raise TimeoutError(f"not so within {within_s} s")

    def kill(self) -> None:
        """Webserver, daemon, code server and runs at once, as a power cut would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def service(self, part_of_command: str) -> list[psutil.Process]:
        """Processes started by the server itself, by their command line."""
        return [child for child in psutil.Process(self.process.pid).children() if part_of_command in _command(child)]

    def run_workers(self) -> list[psutil.Process]:
        """The processes of runs, those included whose code server has died."""
        family = {process.pid: process for process in psutil.Process(self.process.pid).children(recursive=True)}
        spawned = {pid for pid, process in family.items() if "spawn_main" in _command(process)}
        return [family[pid] for pid in spawned if family[pid].ppid() not in spawned]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


@contextmanager
def running(lake: Path, *, trivial_shards: int | None = None, **variables: str) -> Iterator[DevServer]:
    """A server for the lake whose assets are loaded; everything is killed in the end, and its log shown.

    trivial_shards: the lake's shards, for a server with trivial engines instead of those of the settings.
    """
    port = free_port()
    if trivial_shards is None:
        command = [str(Path(sys.executable).with_name("sensory")), "dev", "--lake", str(lake), "--port", str(port)]
    else:
        command = [sys.executable, "-c", TRIVIAL, str(lake), str(trivial_shards), str(port)]
    log = lake.with_name("dev.log")
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=lake.parent,
            env={**os.environ, **variables},  # noqa: TID251
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    server = DevServer(process=process, url=f"http://127.0.0.1:{port}")
    try:
        server.wait_until(
            lambda: bool(server.ask("{ assetNodes { assetKey { path } } }")["assetNodes"]), within_s=STARTS_WITHIN_S
        )
        yield server
    finally:
        print(log.read_text()[-6000:])  # noqa: T201 - shown when the test fails
        if process.poll() is None:
            server.kill()
