"""Who may ask Dagster's UI: its own pages, and programs on this machine; no page of another site.

Dagster's webserver knows no passwords, answers under any name, and runs a mutation that comes in a GET. So any
page that is open in a browser beside it could start and delete runs.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from sensory_pipeline.core.hosts import host_name, is_address, is_foreign, is_loopback

_READS = frozenset({"GET", "HEAD"})
_PLAYGROUND = "text/html"
"""With it in Accept, Dagster answers with its page for queries, and runs none."""


class SameOrigin:
    """ASGI middleware. names: under which the server may be asked, besides numbers and this machine's own.

    A name that belongs to somebody else can be pointed to this machine (DNS rebinding); numbers cannot. A browser
    tells the origin of what asks, and asks before it sends JSON to another one.
    """

    def __init__(self, app: ASGIApp, *, names: Collection[str]) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        refusal = self._refusal(scope) if scope["type"] in ("http", "websocket") else None
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})  # which a server answers with 403
        else:
            await refusal(scope, receive, send)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        name = host_name(host)
        if not (is_loopback(name) or is_address(name) or name in self._names):
            return PlainTextResponse("this server has another name: ask it by its address\n", 403)
        if is_foreign(headers.get("origin"), host):
            return PlainTextResponse("pages of other sites may not ask this server\n", 403)
        if scope["type"] == "websocket":
            return None
        if scope["method"] not in _READS:
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            return None if kind == "application/json" else PlainTextResponse("send JSON: application/json\n", 415)
        if scope["path"].rstrip("/").endswith("/graphql") and _PLAYGROUND not in headers.get("accept", ""):
            return PlainTextResponse("ask with POST\n", 405, headers={"Allow": "POST"})
        return None
