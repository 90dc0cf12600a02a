"""The service on a real socket, with engines that answer at once unless others are asked for."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from sensory_pipeline.cli.serve import KEEP_ALIVE_S, LARGEST_MESSAGE
from sensory_pipeline.engines.selection import EngineFactory
from sensory_pipeline.gateway.app_factory import application
from sensory_pipeline.service_settings import ServiceSettings
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests import trivial_engines
from sensory_pipeline_tests.ports import free_port


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """url: where it listens; http: a client of it."""

    url: str
    http: httpx2.Client

    def process(self, path: Path, wanted: Mapping[str, Any] | str, **options: Any) -> httpx2.Response:
        """The answer to one recording. wanted: the request_json; options: of httpx2."""
        text = wanted if isinstance(wanted, str) else json.dumps(wanted)
        with path.open("rb") as file:
            return self.http.post(
                "/v1/process", files={"audio": (path.name, file)}, data={"request_json": text}, **options
            )

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Its models answer."""
        end = time.monotonic() + seconds
        while self.http.get("/health/ready").status_code != 200:
            assert time.monotonic() < end, "the models never answered"
            time.sleep(0.05)


@contextmanager
def gateway(
    spool: Path,
    *,
    engines: EngineFactory | None = trivial_engines.trivial,
    side_by_side: bool = False,
    devices: str = "cpu",
    **service: Any,
) -> Iterator[Gateway]:
    """engines: None for those of the settings; service: its settings."""
    settings = Settings(workers=1, side_by_side=side_by_side, devices=devices)
    app = application(settings, ServiceSettings(spool=spool, **service), engines=engines)
    config = uvicorn.Config(
        app,
        port=0,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=KEEP_ALIVE_S,
        ws_max_size=LARGEST_MESSAGE,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    with httpx2.Client(timeout=60) as http:  # which is closed last: what is under way is answered
        try:
            while not server.started:
                assert thread.is_alive(), "the service did not start"
                time.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            http.base_url = url = f"http://127.0.0.1:{port}"
            yield Gateway(url=url, http=http)
        finally:
            server.should_exit = True
            thread.join(30)


def finished(service: Gateway, identity: str, seconds: float = 60) -> dict[str, Any]:
    """The job's answer once there is nothing to wait for."""
    end = time.monotonic() + seconds
    while True:
        answer: dict[str, Any] = service.http.get(f"/v1/jobs/{identity}").json()
        if answer["status"] in ("completed", "failed"):
            return answer
        assert time.monotonic() < end, answer
        time.sleep(0.05)


@contextmanager
def process(spool: Path, port: int, engines: str) -> Iterator[subprocess.Popen[bytes]]:
    """A service that can be killed. engines: a name in trivial_engines.py."""
    command = [sys.executable, "-m", "sensory_pipeline_tests.trivial_service", str(spool), str(port), engines]
    with (spool.parent / "service.log").open("ab") as log:
        started = subprocess.Popen(command, stderr=log)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


@contextmanager
def killable(spool: Path, engines: str = "trivial") -> Iterator[tuple[subprocess.Popen[bytes], Gateway]]:
    """The same, once it answers, and a client of it."""
    port = free_port()
    with (
        process(spool, port, engines) as started,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http,
    ):
        end = time.monotonic() + 60
        while True:
            try:
                http.get("/health/live")
                break
            except httpx2.TransportError:
                assert time.monotonic() < end, "the service did not start"
                time.sleep(0.05)
        yield started, Gateway(url=str(http.base_url), http=http)
