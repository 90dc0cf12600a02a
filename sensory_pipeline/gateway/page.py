"""The page at /: send a recording or speak, and see the words. All its files are in this package."""

from __future__ import annotations

import hashlib
import html
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response

from sensory_pipeline.core.languages import NAMES
from sensory_pipeline.gateway.problems import Problem

_FOLDER = Path(__file__).with_name("web")
_PAGE = "index.html"
_TYPES = {".css": "text/css", ".js": "text/javascript"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "media-src blob:; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'",
    "Permissions-Policy": "microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_ASK_AGAIN = {"Cache-Control": "no-cache"}
_KEEP = {"Cache-Control": "public, max-age=31536000, immutable"}


def page(app: FastAPI) -> None:
    """Add the route / and the page's files below /page/DIGEST/, which browsers cache until one of the files changes."""
    files = {path.name: path.read_bytes() for path in sorted(_FOLDER.iterdir()) if path.suffix in _TYPES}
    digest = hashlib.sha256(b"".join(files.values())).hexdigest()[:16]
    languages = "".join(
        f'<option value="{code}">{html.escape(name)}</option>'
        for code, name in sorted(NAMES.items(), key=lambda item: item[1])
    )
    text = (_FOLDER / _PAGE).read_text(encoding="utf-8").replace("{digest}", digest).replace("{languages}", languages)

    @app.get("/", include_in_schema=False, response_class=HTMLResponse)
    async def index() -> HTMLResponse:
        """The page."""
        return HTMLResponse(text, headers=_HEADERS | _ASK_AGAIN)

    @app.get("/page/{given}/{name}", include_in_schema=False, response_class=Response)
    async def file(given: str, name: str) -> Response:
        """One of the page's files."""
        if given != digest or name not in files:
            raise Problem(404, "no-file", "the page has changed: load it again")
        return Response(files[name], media_type=_TYPES[Path(name).suffix], headers=_HEADERS | _KEEP)
