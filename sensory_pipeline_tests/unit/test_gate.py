"""WebSockets whose connection ends at any moment, and routes that fail: what the gate makes of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from starlette.types import Message

from sensory_pipeline.gateway.client_limits import ClientLimits
from sensory_pipeline.gateway.gate import Gate
from sensory_pipeline.gateway.keys import Keys
from sensory_pipeline.gateway.metrics import Metrics

app = FastAPI()
noticed: list[str] = []


@app.websocket("/talk")
async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        await websocket.send_text("hello")
    except WebSocketDisconnect:
        noticed.append("gone")


@app.websocket("/broken")
async def broken(websocket: WebSocket) -> None:
    await websocket.accept()
    raise ZeroDivisionError


def sent(path: str, *, fails_at: str = "", error: type[Exception] = OSError) -> list[Message]:
    """What the gate sends to a client whose connection has ended when a message of this type is sent."""
    found: list[Message] = []
    scope: dict[str, Any] = {
        "type": "websocket",
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"x-request-id", b"mine")],
        "server": ("127.0.0.1", 80),
        "subprotocols": [],
    }

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        if message["type"] == fails_at:
            raise error
        found.append(message)

    asyncio.run(Gate(app, keys=Keys(()), hosts=(), limits=ClientLimits(), metrics=Metrics())(scope, receive, send))
    return found


@pytest.mark.parametrize("error", [OSError, RuntimeError])
@pytest.mark.parametrize("fails_at", ["websocket.accept", "websocket.send"])
def test_a_client_that_is_gone_is_no_failure(
    fails_at: str, error: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    noticed.clear()
    sent("/talk", fails_at=fails_at, error=error)
    assert noticed == ["gone"] * (fails_at == "websocket.send")
    assert "Traceback" not in capsys.readouterr().out


def test_a_route_that_fails_closes_with_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert sent("/broken")[-1] == {
        "type": "websocket.close",
        "code": 1011,
        "reason": "the service failed: give its operator the request_id mine",
    }
    assert "ZeroDivisionError" in capsys.readouterr().out
    assert [message["type"] for message in sent("/broken", fails_at="websocket.close")] == ["websocket.accept"]
