"""S3 servers of our own on loopback, and a network before them that fails as one asks it to."""

from __future__ import annotations

import os
import random
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import TYPE_CHECKING, Literal
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest
from boto3.session import Session

from sensory_pipeline.storage import s3_client
from sensory_pipeline.storage.s3_access import AS_FOUND
from sensory_pipeline_tests.ports import free_port, wait_for

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Fault = Literal["500", "503", "403", "short", "reset", "stall"]
STALL_S = 40
"""Longer than any client of ours waits for the next bytes."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where a server is, and who may ask it."""

    port: int
    key: str = "testkey"
    secret: str = "testsecret"
    trusting: bool = False
    """Whether it checks no credentials, which is moto's default."""

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def variables(self) -> dict[str, str]:
        """All that boto3 has to know; nothing of the developer's own reaches it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> S3Client:
        session = Session(self.key, self.secret, region_name="us-east-1")
        return session.client("s3", endpoint_url=self.endpoint)


@dataclass(frozen=True)
class Bucket:
    """A new bucket."""

    server: Server
    client: S3Client
    name: str = field(default_factory=lambda: f"calls-{uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self.client.create_bucket(Bucket=self.name)

    def uri(self, key: str = "") -> str:
        return f"s3://{self.name}/{key}"

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=content)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)


@contextmanager
def moto() -> Iterator[Server]:
    """moto's server, in a process of its own."""
    server = Server(port=free_port(), trusting=True)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(server.port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(server.port)
        yield server
    finally:
        process.terminate()
        process.wait()


@contextmanager
def asking_who(server: Server) -> Iterator[None]:
    """It looks at credentials meanwhile, as every other server does."""

    def ask_after(requests: bytes) -> None:
        headers = {"Content-Type": "text/plain"}
        urlopen(Request(f"{server.endpoint}/moto-api/reset-auth", requests, headers)).close()

    if server.trusting:
        ask_after(b"0")
    try:
        yield
    finally:
        if server.trusting:
            ask_after(b"inf")


QUICK: tuple[Fault, ...] = ("500", "503", "short", "reset")
"""What does not take half a minute."""


def some(share: float, seed: int, kinds: tuple[Fault, ...] = QUICK) -> Callable[[str], Fault | None]:
    """That share of all requests fails, in one of these ways."""
    dice = random.Random(seed)
    return lambda _path: dice.choice(kinds) if dice.random() < share else None


@contextmanager
def behind_bad_network(server: Server, fault: Callable[[str], Fault | None]) -> Iterator[tuple[Server, Counter[Fault]]]:
    """The server as seen from afar, and what has gone wrong so far. fault: of a request, by its path."""
    seen: Counter[Fault] = Counter()
    lock = Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            with lock:
                failing = fault(self.path)
                if failing:
                    seen[failing] += 1
            if failing in ("500", "503", "403"):
                code = {"500": "InternalError", "503": "SlowDown", "403": "AccessDenied"}[failing]
                body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
                self._answer(int(failing), [("Content-Type", "application/xml")], body, len(body))
                return
            with closing(HTTPConnection("127.0.0.1", server.port, timeout=60)) as upstream:
                upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    upstream.putheader(name, value)
                upstream.endheaders()
                answer = upstream.getresponse()
                body = answer.read()
            sent = body if failing is None else body[: len(body) // 2]
            length = len(body) if self.command == "GET" else int(answer.getheader("Content-Length", "0"))
            self._answer(answer.status, answer.getheaders(), sent, length)
            if failing == "stall":
                time.sleep(STALL_S)
            if failing == "reset":  # close at once, without a good-bye
                self.wfile.flush()
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if failing:
                self.close_connection = True

        def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, length: int) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        proxy.daemon_threads = True
        thread = Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield replace(server, port=proxy.server_address[1]), seen
        finally:
            proxy.shutdown()
            thread.join()


def connect(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    disconnect()
    for name, value in server.variables().items():
        monkeypatch.setenv(name, value)


def disconnect() -> None:
    if s3_client.client.cache_info().currsize:
        s3_client.client(AS_FOUND).close()
    s3_client.client.cache_clear()
