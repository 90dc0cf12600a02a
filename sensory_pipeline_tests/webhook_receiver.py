"""A receiver of webhooks on loopback, which checks every signature."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


@dataclass(kw_only=True)
class Receiver:
    """port: where it listens; answers: statuses given in turn, then 204 for ever; headers: of all that was sent;
    accepted: the bodies answered with 204; silent: while it is set, nothing is answered."""

    port: int
    answers: list[int] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    accepted: list[dict[str, Any]] = field(default_factory=list)
    silent: Event = field(default_factory=Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=hush"

    def until(self, count: int) -> list[dict[str, Any]]:
        """What was accepted, once webhooks of so many jobs were."""
        end = time.monotonic() + 60
        while len({job["job_id"] for job in self.accepted}) < count:
            assert time.monotonic() < end, self.accepted
            time.sleep(0.02)
        return list(self.accepted)


def signed(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether the body has the signature that the standard asks for."""
    content = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
    wanted = base64.b64encode(hmac.new(KEY, content, hashlib.sha256).digest()).decode()
    return f"v1,{wanted}" in headers["webhook-signature"].split()


@contextmanager
def listening(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """tls: speak it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.headers.append(headers)
            if receiver.silent.is_set():
                while receiver.silent.is_set():
                    time.sleep(0.02)
                return
            status = receiver.answers.pop(0) if receiver.answers else 204
            if status == 204:
                assert signed(headers, body)
                receiver.accepted.append(json.loads(body))
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign] # who sent may be gone
        receiver = Receiver(port=server.server_port)
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.silent.clear()
            server.shutdown()
            thread.join()
