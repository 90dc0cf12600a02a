"""What one client may have of the service, so that others have some too."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.sync.client import ClientConnection, connect

from sensory_pipeline.client import ServiceError, StreamingClient
from sensory_pipeline.gateway.keys import digest
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.gateway_server import Gateway, gateway
from sensory_pipeline_tests.live_server import closing_of
from sensory_pipeline_tests.waiting import eventually

WANTED: dict[str, Any] = {"settings": {"tasks": ["transcribe"]}}
KEYS = tuple(f"{name}={digest(name)}" for name in ("anna", "boris"))
NAME = "a-session-of-anna"


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}"}


@contextmanager
def live(service: Gateway, query: str = "") -> Iterator[ClientConnection]:
    """A live stream of Anna's, which has sent its settings."""
    address = f"{service.url.replace('http', 'ws')}/v1/ws{query}"
    with connect(address, additional_headers=bearer("anna"), proxy=None) as client:
        client.send(json.dumps(WANTED))
        yield client


def test_too_many_requests_are_refused_for_now(tmp_path: Path) -> None:
    recording = tone(tmp_path / "a.wav", 300)
    with gateway(tmp_path / "spool", api_keys=KEYS, key_requests_per_minute=2) as service:
        for _ in range(2):
            assert service.process(recording, WANTED, headers=bearer("anna")).status_code == 200
        refused = service.process(recording, WANTED, headers=bearer("anna"))
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:sensory:rate-limited")
        assert refused.headers["content-type"] == "application/problem+json"
        assert 1 <= int(refused.headers["retry-after"]) <= 30
        openai = service.http.post("/v1/audio/transcriptions", headers=bearer("anna"))
        assert (openai.status_code, openai.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert openai.json()["error"]["type"] == "rate_limit_error"
        for address in ("/v1/ws", "/v1/realtime?intent=transcription"):
            url = f"{service.url.replace('http', 'ws')}{address}"
            with connect(url, additional_headers=bearer("anna"), proxy=None) as stream:
                code, reason, _ = closing_of(stream)
                assert (code, reason[:18]) == (1013, "one client may sen")
        assert service.http.get("/v1/jobs", headers=bearer("anna")).status_code == 200
        assert service.process(recording, WANTED, headers=bearer("boris")).status_code == 200
        page = service.http.get("/metrics", headers=bearer("boris")).text
        assert 'sensory_limited_requests_total{limit="rate"} 4.0' in page
        assert "anna" not in page


def test_too_many_at_once_are_refused_for_now(tmp_path: Path) -> None:
    recording = tone(tmp_path / "a.wav", 300)
    with gateway(tmp_path / "spool", api_keys=KEYS, key_concurrent_requests=1) as service:

        def status(name: str = "anna") -> int:
            return service.process(recording, WANTED, headers=bearer(name)).status_code

        with uploading(service):
            refused = service.process(recording, WANTED, headers=bearer("anna"))
            assert (refused.json()["type"], refused.headers["retry-after"]) == ("urn:sensory:too-many-at-once", "5")
            with live(service) as stream:
                code, reason, _ = closing_of(stream)
                assert (code, "SENSORY_KEY_CONCURRENT_REQUESTS" in reason) == (1013, True)
            assert status("boris") == 200
        eventually(lambda: status() == 200)


@contextmanager
def uploading(service: Gateway) -> Iterator[None]:
    """A request of Anna's, whose form the service waits for."""
    address = urlsplit(service.url)
    lines = (
        "POST /v1/process HTTP/1.1",
        "Host: localhost",
        "Authorization: Bearer anna",
        "Content-Type: multipart/form-data; boundary=x",
        "Content-Length: 1000",
        "Expect: 100-continue",
    )
    with socket.create_connection((address.hostname, address.port), timeout=30) as line:
        line.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 100 ")
        yield


def test_a_live_stream_keeps_its_place_until_it_ends(tmp_path: Path) -> None:
    recording = tone(tmp_path / "a.wav", 300)
    with gateway(tmp_path / "spool", api_keys=KEYS, key_concurrent_requests=1) as service:

        def status() -> int:
            return service.process(recording, WANTED, headers=bearer("anna")).status_code

        def resumed() -> bool:
            with live(service, f"?resume={NAME}") as again:
                return "session" in json.loads(again.recv(timeout=20))

        with live(service, f"?session={NAME}"):
            eventually(resumed)
        # nobody is connected, but somebody may come back
        assert status() == 429
        with pytest.raises(ServiceError, match="SENSORY_KEY_CONCURRENT_REQUESTS") as refused:
            list(StreamingClient(service.url, key="anna").stream([bytes(3200)]))
        assert refused.value.status == 1013
        with live(service, f"?resume={NAME}") as again:
            assert json.loads(again.recv(timeout=20)) == {"session": NAME, "received": 0}
            again.send("END_STREAM")
            assert closing_of(again)[0] == 1000
        assert status() == 200
