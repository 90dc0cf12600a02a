"""No page of another site, and no other name, drives Dagster through the browser of who works beside it."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from datetime import date
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from starlette.types import Message, Receive, Scope, Send
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from sensory_pipeline.automation.same_origin import SameOrigin
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline_tests.command import invoked
from sensory_pipeline_tests.dev_server import running

OWN = "127.0.0.1:3000"
DELETE = 'mutation { deletePipelineRun(runId: "x") { __typename } }'


def status(method: str, path: str, *, kind: str = "http", **headers: str) -> int:
    """What becomes of a request; 200 where it reaches what is behind."""

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    given = {"host": OWN} | {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    asyncio.run(SameOrigin(behind, names={"speech.local"})(scope, receive, send))
    return 403 if sent[0]["type"] == "websocket.close" else int(sent[0]["status"])


JSON = {"content_type": "application/json"}


@pytest.mark.parametrize(
    ("expected", "method", "path", "headers"),
    [
        (200, "GET", "/", {}),
        (200, "GET", "/", {"host": "localhost:3000"}),
        (200, "GET", "/", {"host": "[::1]:3000"}),
        (200, "GET", "/", {"host": "192.168.0.7:3000"}),
        (200, "GET", "/", {"host": "Speech.local:3000"}),
        (403, "GET", "/", {"host": "evil.example:3000"}),
        (403, "GET", "/", {"host": ""}),
        (403, "GET", "/", {"host": "127.0.0.1.evil.example:3000"}),
        (200, "POST", "/graphql", {**JSON, "origin": f"http://{OWN}"}),
        (200, "POST", "/graphql", JSON),
        (200, "POST", "/graphql", {"content_type": "Application/JSON; charset=utf-8"}),
        (403, "POST", "/graphql", {**JSON, "origin": "http://evil.example"}),
        (403, "POST", "/graphql", {**JSON, "origin": "http://127.0.0.1:8000"}),
        (403, "POST", "/graphql", {**JSON, "origin": "null"}),
        (403, "OPTIONS", "/graphql", {"origin": "http://evil.example"}),
        (403, "GET", "/graphql", {"origin": "http://evil.example"}),
        (415, "POST", "/graphql", {}),
        (415, "POST", "/graphql", {"content_type": "text/plain; application/json"}),
        (415, "POST", "/graphql", {"content_type": "application/graphql"}),
        (415, "POST", "/report_asset_materialization/a", {"content_type": "application/x-www-form-urlencoded"}),
        (405, "GET", "/graphql", {"accept": "*/*"}),
        (405, "HEAD", "/graphql/", {}),
        (200, "GET", "/graphql", {"accept": "text/html,*/*"}),
    ],
)
def test_allowed_requests(expected: int, method: str, path: str, headers: dict[str, str]) -> None:
    assert status(method, path, **headers) == expected


def test_allowed_subscriptions() -> None:
    assert status("GET", "/graphql", kind="websocket", origin=f"http://{OWN}") == 200
    assert status("GET", "/graphql", kind="websocket", origin="https://evil.example") == 403
    assert status("GET", "/graphql", kind="websocket", host="evil.example") == 403


def test_dagsters_ui_is_protected(tmp_path: Path) -> None:
    Lake.create(tmp_path / "lake", shards=1, start_date=date(2024, 1, 1))
    with running(tmp_path / "lake", trivial_shards=1) as server:
        address = urlsplit(server.url)

        def asked(method: str, path: str, body: str | None = None, **headers: str) -> int:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            with closing(HTTPConnection(str(address.hostname), address.port, timeout=60)) as connection:
                connection.request(method, path, body, sent)
                return connection.getresponse().status

        mutation = json.dumps({"query": DELETE})
        assert asked("GET", "/", accept="text/html") == 200
        assert asked("GET", f"/graphql?query={quote(DELETE)}") == 405
        assert asked("GET", f"/graphql?query={quote(DELETE)}", origin="http://evil.example") == 403
        assert asked("POST", f"/graphql?query={quote(DELETE)}", content_type="text/plain") == 415
        assert asked("POST", "/graphql", mutation, content_type="application/json", host="evil.example") == 403
        assert asked("POST", "/graphql", mutation, content_type="application/json", origin="null") == 403
        assert asked("POST", "/graphql", mutation, content_type="application/json") == 200
        url = f"ws://{address.netloc}/graphql"
        spoken = [Subprotocol("graphql-ws")]
        with pytest.raises(InvalidStatus, match="403"):
            connect(url, origin=Origin("http://evil.example"), subprotocols=spoken, proxy=None)
        with connect(url, origin=Origin(server.url), subprotocols=spoken, proxy=None) as socket:
            socket.send(json.dumps({"type": "connection_init"}))
            assert json.loads(socket.recv(60)) == {"type": "connection_ack"}
            query = "subscription { locationStateChangeEvents { __typename } }"
            socket.send(json.dumps({"type": "start", "id": "1", "payload": {"query": query}}))
            with pytest.raises(TimeoutError):
                assert json.loads(socket.recv(1))["type"] != "error"


def test_another_address_needs_an_option(tmp_path: Path) -> None:
    done = invoked("dev", "--lake", "lake", "--host", "0.0.0.0", cwd=tmp_path)
    assert done.returncode == 2
    assert "has no password" in done.stderr
    assert "--unprotected" in done.stderr
    assert not (tmp_path / "lake").exists()
