"""`sensory dev` as a process, asked over GraphQL like a browser would."""

from __future__ import annotations

import json
import os
import signal
import socket
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

STARTS_WITHIN_S = 120


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


@contextmanager
def running(lake: Path, **variables: str) -> Iterator[DevServer]:
    """A server for the lake whose assets are loaded; everything is killed in the end, and its log shown."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("sensory")), "dev", "--lake", str(lake), "--port", str(port)]
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
