"""What every request passes first: its id, the name it was sent to, its key; and what is noted of it in the end.

It comes before any form is read, so that nobody uploads in vain.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterable

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sensory_pipeline.core.host_headers import host_name, is_foreign, is_loopback
from sensory_pipeline.gateway.keys import Keys
from sensory_pipeline.gateway.metrics import Metrics
from sensory_pipeline.gateway.problems import Problem, Shown, document

log = structlog.get_logger()

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_OPEN = ("/health/", "/docs", "/openapi.json", "/page/")
"""For everybody, as the page at / is: there is nothing in it of anybody."""
_PROTOCOLS = ("sensory", "realtime")
_KEY_PROTOCOLS = ("sensory-key.", "openai-insecure-api-key.")
"""Subprotocols of a WebSocket from a browser, which cannot send headers: `sensory`, and the key after `sensory-key.`;
those of OpenAI's clients beside them."""
_UNAUTHORIZED = 4401  # how a WebSocket is closed
_GONE = 499  # noted, and told to nobody: the client hung up


class Gate:
    """ASGI middleware. hosts: names of the service besides this machine's own; shown: makes answers of problems."""

    def __init__(
        self, app: ASGIApp, *, keys: Keys, hosts: Iterable[str], metrics: Metrics, shown: Shown = document
    ) -> None:
        self._app = app
        self._keys = keys
        self._hosts = frozenset(host.lower() for host in hosts)
        self._metrics = metrics
        self._shown = shown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        scope["request_id"] = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        with structlog.contextvars.bound_contextvars(request_id=scope["request_id"]):
            try:
                scope["client_name"] = self._client(scope, headers)
            except Problem as problem:
                await self._answered(scope, receive, send, problem)
            else:
                await self._answered(scope, receive, send, None)

    def _client(self, scope: Scope, headers: Headers) -> str:
        """Who asks. Raises Problem for who may not."""
        if scope["path"] == "/" or scope["path"].startswith(_OPEN):
            return "anybody"
        server = (scope.get("server") or ("localhost", None))[0]
        host = host_name(headers.get("host", ""))
        if (self._hosts or not self._keys) and host not in self._hosts and not is_loopback(host) and host != server:
            raise Problem(421, "wrong-host", "the service has another name: SENSORY_HOSTS lists those it answers to")
        if not self._keys:
            if is_foreign(headers.get("origin"), headers.get("host", "")):
                raise Problem(403, "foreign-origin", "pages of other sites may not use the service without a key")
            if not (is_loopback(server) or server.startswith("/")):  # a socket in the file system is this machine's
                raise _locked("it has no keys yet: make one with `sensory keys new` and set SENSORY_API_KEYS")
            return str((scope.get("client") or ("local", None))[0])
        owner = self._keys.owner(headers.get("authorization") or _offered(scope))
        if owner is None:
            raise _locked("send a key that the service knows: Authorization: Bearer KEY")
        return owner

    async def _answered(self, scope: Scope, receive: Receive, send: Send, problem: Problem | None) -> None:
        began = time.monotonic()
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = scope["request_id"]
            elif message["type"] == "websocket.accept" and message.get("subprotocol") is None:
                message = {**message, "subprotocol": _chosen(scope)}
            await send(message)

        try:
            if problem is None:
                await self._app(scope, receive, noting)
            elif scope["type"] == "websocket":
                await _refuse(receive, noting, problem)
            else:
                await self._shown(problem, scope)(scope, receive, noting)
        except ClientDisconnect:
            status = _GONE
        except Exception:
            log.exception("failed")
            if status or scope["type"] == "websocket":
                raise
            failed = Problem(500, "failed", "the service failed on this request: tell its operator the request_id")
            await self._shown(failed, scope)(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            seconds = time.monotonic() - began
            if scope["type"] == "http":
                self._metrics.answered(scope["method"], route, status, seconds)
            told = log.debug if route.startswith("/health/") else log.info
            told(
                "request",
                method=scope.get("method", "WS"),
                route=route,
                status=status or None,
                seconds=round(seconds, 3),
                client=scope.get("client_name"),
            )


def _locked(detail: str) -> Problem:
    return Problem(401, "no-key", detail, headers={"WWW-Authenticate": "Bearer"})


def _offered(scope: Scope) -> str | None:
    """The key among a WebSocket's subprotocols, as a header would have it.

    >>> _offered({"subprotocols": ["sensory", "sensory-key.secret"]})
    'Bearer secret'
    """
    offered: list[str] = scope.get("subprotocols", [])
    keys = (name.removeprefix(prefix) for name in offered for prefix in _KEY_PROTOCOLS if name.startswith(prefix))
    return next((f"Bearer {key}" for key in keys), None)


def _chosen(scope: Scope) -> str | None:
    """The subprotocol that is answered: browsers close the connection if they offer some and none is chosen."""
    return next((name for name in scope.get("subprotocols", ()) if name in _PROTOCOLS), None)


async def _refuse(receive: Receive, send: Send, problem: Problem) -> None:
    """A WebSocket has to be accepted before it can be told why it is closed."""
    if (await receive())["type"] == "websocket.connect":
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": _UNAUTHORIZED, "reason": problem.detail[:120]})
