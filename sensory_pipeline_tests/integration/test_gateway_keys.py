"""Who may use the service: keys, the names it answers to, and nobody from elsewhere without either."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send
from typer.testing import CliRunner
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from sensory_pipeline.cli.app import app
from sensory_pipeline.gateway.client_limits import ClientLimits
from sensory_pipeline.gateway.gate import Gate
from sensory_pipeline.gateway.keys import Keys, digest, new_key
from sensory_pipeline.gateway.metrics import Metrics
from sensory_pipeline.service_settings import ServiceSettings
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.command import sensory
from sensory_pipeline_tests.gateway_server import gateway

LATER: dict[str, Any] = {"settings": {}, "async_process": True}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_with_keys_only_health_and_documents_are_open(tmp_path: Path) -> None:
    anna, boris = new_key(), new_key()
    keys = (f"anna={digest(anna)}", f"boris={digest(boris)}")
    with gateway(tmp_path / "spool", api_keys=keys) as service:
        for method, path in (
            ("GET", "/v1/jobs"),
            ("GET", "/metrics"),
            ("GET", "/cache/stats"),
            ("POST", "/v1/process"),
        ):
            for headers in ({}, bearer("guess"), {"Authorization": f"Basic {anna}"}, bearer(digest(anna))):
                refused = service.http.request(method, path, headers=headers)
                assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer"), (method, path)
        for path in ("/", "/health/live", "/docs", "/openapi.json"):
            assert service.http.get(path).status_code == 200, path
        assert service.http.get("/page/of/nothing").status_code == 404
        for path in ("/%2e/v1/jobs", "/page", "/page/../v1/jobs"):
            assert service.http.get(path).status_code in {401, 404}, path
        recording = tone(tmp_path / "a.wav", 300)
        job = service.process(recording, LATER, headers=bearer(anna)).json()["job_id"]
        assert service.http.get(f"/v1/jobs/{job}", headers=bearer(anna)).status_code == 200
        assert service.http.get(f"/v1/jobs/{job}", headers=bearer(boris)).status_code == 404
        assert service.http.delete(f"/v1/jobs/{job}", headers=bearer(boris)).status_code == 404
        assert service.http.get("/v1/jobs", headers=bearer(boris)).json() == []


def test_a_browser_sends_a_key_as_a_subprotocol(tmp_path: Path) -> None:
    key = new_key()
    with gateway(tmp_path / "spool", api_keys=(f"anna={digest(key)}",)) as service:
        address = f"{service.url.replace('http', 'ws')}/v1/ws"
        for given, code in ((key, 1000), ("guess", 4401)):
            offered = [Subprotocol("sensory"), Subprotocol(f"sensory-key.{given}")]
            with connect(address, subprotocols=offered, proxy=None) as client:
                assert client.subprotocol == "sensory"  # else a browser closes the connection
                with suppress(ConnectionClosed):
                    client.send('{"settings": {"tasks": ["transcribe"]}}')
                    client.send("END_STREAM")
                    client.recv(timeout=20)
                assert client.close_code == code


def test_another_host_name_is_refused_without_keys(tmp_path: Path) -> None:
    with gateway(tmp_path / "spool", hosts=("speech.example.org",)) as service:
        for host, status in (
            ("evil.example.org", 421),
            ("speech.example.org:443", 200),
            ("localhost:1", 200),
            ("[::1]", 200),
        ):
            assert service.http.get("/v1/jobs", headers={"Host": host}).status_code == status, host


def test_other_origins_are_refused(tmp_path: Path) -> None:
    with gateway(tmp_path / "spool") as service:
        asked = {"Origin": "https://evil.example.org", "Access-Control-Request-Method": "POST"}
        answer = service.http.options("/v1/process", headers=asked)
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert service.http.get("/v1/jobs", headers={"Origin": "https://evil.example.org"}).status_code == 403
        assert service.http.get("/v1/jobs", headers={"Origin": service.url}).status_code == 200
        address = f"{service.url.replace('http', 'ws')}/v1/ws"
        with connect(address, origin=Origin("https://evil.example.org"), proxy=None) as client:
            with suppress(ConnectionClosed):
                client.recv(timeout=20)
            assert client.close_code == 4401


@pytest.mark.parametrize(
    ("server", "status"),
    [
        (("192.0.2.7", 8001), 401),
        (("127.0.0.1", 8001), 200),
        (("/run/sensory.sock", None), 200),
    ],
)
def test_other_addresses_need_keys(server: tuple[str, int | None], status: int) -> None:
    told: list[Message] = []

    async def ours(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("in")(scope, receive, send)

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        told.append(message)

    gate = Gate(ours, keys=Keys(()), hosts=(), limits=ClientLimits(), metrics=Metrics())
    raw = [(b"host", b"192.0.2.7" if status == 401 else b"localhost")]
    asyncio.run(
        gate({"type": "http", "method": "GET", "path": "/v1/jobs", "headers": raw, "server": server}, receive, send)
    )
    assert told[0]["status"] == status
    assert (b"sensory keys new" in told[1]["body"]) == (status == 401)


def test_the_command_does_not_start_without_them(tmp_path: Path) -> None:
    done = sensory("serve", "--host", "0.0.0.0", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("other machines can reach 0.0.0.0, and the service has no keys")


def test_a_new_key_is_printed_with_its_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(app, ["keys", "new", "anna"])
    assert done.exit_code == 0
    key = done.stdout.strip()
    found = re.search(r"anna=([0-9a-f]{64})", done.stderr)
    assert found is not None
    assert found[1] == digest(key)
    monkeypatch.setenv("SENSORY_API_KEYS", f"{found[0]}, boris={digest('b')}")
    assert ServiceSettings().api_keys == (found[0], f"boris={digest('b')}")


def test_no_error_shows_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENSORY_API_KEYS", "anna=not_a_digest")
    with pytest.raises(ValueError, match="api_keys") as caught:
        ServiceSettings()
    assert "not_a_digest" not in str(caught.value)
