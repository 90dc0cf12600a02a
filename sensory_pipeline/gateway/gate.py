"""Middleware that assigns request ids, checks hosts, keys and limits, and logs and counts every request.

It runs before a form is read, so that a refused client uploads nothing.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterable
from contextlib import ExitStack, suppress

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sensory_pipeline.core.hosts import host_name, is_foreign, is_loopback
from sensory_pipeline.gateway.client_limits import ClientLimits
from sensory_pipeline.gateway.close_frames import close_reason
from sensory_pipeline.gateway.keys import Keys
from sensory_pipeline.gateway.metrics import Metrics
from sensory_pipeline.gateway.problems import Problem, Shown, document

log = structlog.get_logger()

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_OPEN = ("/health/", "/docs", "/openapi.json", "/page/")
"""Paths that need no key, like the page at /. They contain no data of any client."""
_PROTOCOLS = ("sensory", "realtime")
_KEY_PROTOCOLS = ("sensory-key.", "openai-insecure-api-key.")
"""Prefixes of the subprotocol that contains the key. Browsers cannot send headers with a WebSocket, so they offer two
subprotocols: one of `_PROTOCOLS`, and one with the key. `realtime` and `openai-...` are those of OpenAI's clients."""
_UNAUTHORIZED, _FAILED, _TRY_AGAIN_LATER = 4401, 1011, 1013  # close codes of a WebSocket
_GONE = 499  # for the log only: the client disconnected


class _Gone(OSError):
    """The connection of a WebSocket has ended. Starlette turns an OSError of `send` into WebSocketDisconnect."""


class Gate:
    """ASGI middleware that checks and logs every request.

    Args:
        app: The application behind it.
        keys: The keys of the clients.
        hosts: Host names of the service besides those of this machine.
        limits: Limits of the clients.
        metrics: Counts the requests.
        shown: Makes the response for a problem.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: Keys,
        hosts: Iterable[str],
        limits: ClientLimits,
        metrics: Metrics,
        shown: Shown = document,
    ) -> None:
        self._app = app
        self._keys = keys
        self._hosts = frozenset(host.lower() for host in hosts)
        self._limits = limits
        self._metrics = metrics
        self._shown = shown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, as ASGI specifies."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        scope["request_id"] = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        with structlog.contextvars.bound_contextvars(request_id=scope["request_id"]), ExitStack() as places:
            refusal = None
            try:
                scope["client_name"] = self._client(scope, headers)
                self._limit(scope, places)
            except Problem as problem:
                refusal = problem
            await self._answered(scope, receive, send, refusal)

    def _client(self, scope: Scope, headers: Headers) -> str:
        """The client's name. Raises Problem if the client has no access."""
        if scope["path"] == "/" or scope["path"].startswith(_OPEN):
            return "anybody"
        server = (scope.get("server") or ("localhost", None))[0]
        host = host_name(headers.get("host", ""))
        if (self._hosts or not self._keys) and host not in self._hosts and not is_loopback(host) and host != server:
            raise Problem(421, "wrong-host", "this is not a host name of the service: SENSORY_HOSTS lists its names")
        if not self._keys:
            if is_foreign(headers.get("origin"), headers.get("host", "")):
                raise Problem(403, "foreign-origin", "pages of other sites may not use the service without a key")
            if not (is_loopback(server) or server.startswith("/")):  # a Unix socket is local
                raise _locked("the service has no keys yet: make one with `sensory keys new` and set SENSORY_API_KEYS")
            return str((scope.get("client") or ("local", None))[0])
        owner = self._keys.owner(headers.get("authorization") or _offered(scope))
        if owner is None:
            raise _locked("the key is missing or unknown: send Authorization: Bearer KEY")
        return owner

    def _limit(self, scope: Scope, places: ExitStack) -> None:
        """Apply the limits of the client. Raises Problem if the request exceeds one.

        Only recordings and live speech count, so that a client at its limit can still ask for its jobs. Live sessions
        take their places themselves, because they outlive a broken connection.
        """
        http = scope["type"] == "http"
        if http and scope["method"] != "POST":
            return
        self._limits.count(scope["client_name"])
        if http:
            places.enter_context(self._limits.place(scope["client_name"]))

    async def _answered(self, scope: Scope, receive: Receive, send: Send, problem: Problem | None) -> None:
        began = time.monotonic()
        is_websocket = scope["type"] == "websocket"
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = scope["request_id"]
            elif message["type"] == "websocket.accept" and message.get("subprotocol") is None:
                message = {**message, "subprotocol": _chosen(scope)}
            try:
                await send(message)
            except (OSError, RuntimeError) as error:  # uvicorn raises either, by whether the connection still exists
                if is_websocket:
                    raise _Gone from error
                raise

        try:
            if problem is None:
                await self._app(scope, receive, noting)
            elif is_websocket:
                await _refuse(receive, noting, problem)
            else:
                await self._shown(problem, scope)(scope, receive, noting)
        except (ClientDisconnect, _Gone):
            status = _GONE
        except Exception:  # a bug of ours: the log has it, and the client the request's id to ask about
            log.exception("failed")
            if status:
                raise
            failed = Problem(500, "failed", "the service failed on this request: give its operator the request_id")
            if is_websocket:
                with suppress(_Gone):
                    reason = f"the service failed: give its operator the request_id {scope['request_id']}"
                    await noting({"type": "websocket.close", "code": _FAILED, "reason": reason})
            else:
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
    """The key among the subprotocols of a WebSocket, in the form of the header Authorization.

    >>> _offered({"subprotocols": ["sensory", "sensory-key.secret"]})
    'Bearer secret'
    """
    offered: list[str] = scope.get("subprotocols", [])
    keys = (name.removeprefix(prefix) for name in offered for prefix in _KEY_PROTOCOLS if name.startswith(prefix))
    return next((f"Bearer {key}" for key in keys), None)


def _chosen(scope: Scope) -> str | None:
    """The subprotocol to accept. A browser that offers some closes the connection if none is accepted."""
    return next((name for name in scope.get("subprotocols", ()) if name in _PROTOCOLS), None)


async def _refuse(receive: Receive, send: Send, problem: Problem) -> None:
    """Close a WebSocket with a reason, which is only possible after accepting it."""
    if (await receive())["type"] == "websocket.connect":
        await send({"type": "websocket.accept"})
        code = _TRY_AGAIN_LATER if problem.status == 429 else _UNAUTHORIZED
        await send({"type": "websocket.close", "code": code, "reason": close_reason(problem.detail)})
