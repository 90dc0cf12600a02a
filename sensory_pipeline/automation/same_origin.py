"""Who can use Dagster's UI: its own pages and programs on this machine, but no page of another site.

Dagster's webserver has no passwords, answers to any host name, and executes mutations in GET requests. So any page that
is open in a browser on the same machine could start and delete runs.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from sensory_pipeline.core.hosts import host_name, is_address, is_foreign, is_loopback

_READS = frozenset({"GET", "HEAD"})
_PLAYGROUND = "text/html"
"""If Accept contains it, Dagster returns the page for queries and executes none."""


class SameOrigin:
    """ASGI middleware that refuses requests of other sites' pages.

    The name of another site can be made to point to this machine (DNS rebinding), but an IP address cannot, so only
    known names are accepted. A browser sends the origin of each page's request, and asks for permission before it sends
    JSON to another site.
    """

    def __init__(self, app: ASGIApp, *, names: Collection[str]) -> None:
        """Protect an app.

        Args:
            app: The app.
            names: Host names of the server, besides IP addresses and this machine's own names.
        """
        self._app = app
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, as ASGI defines it."""
        refusal = self._refusal(scope) if scope["type"] in ("http", "websocket") else None
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})  # the server then answers with 403
        else:
            await refusal(scope, receive, send)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        name = host_name(host)
        if not (is_loopback(name) or is_address(name) or name in self._names):
            return PlainTextResponse("this server has another name: use its address\n", 403)
        if is_foreign(headers.get("origin"), host):
            return PlainTextResponse("pages of other sites cannot use this server\n", 403)
        if scope["type"] == "websocket":
            return None
        if scope["method"] not in _READS:
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            return None if kind == "application/json" else PlainTextResponse("send JSON: application/json\n", 415)
        if scope["path"].rstrip("/").endswith("/graphql") and _PLAYGROUND not in headers.get("accept", ""):
            return PlainTextResponse("use POST\n", 405, headers={"Allow": "POST"})
        return None
