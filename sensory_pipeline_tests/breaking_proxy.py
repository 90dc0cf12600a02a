"""A proxy whose connections break, as those of a bad network do."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from threading import Thread


@dataclass(slots=True, kw_only=True)
class BreakingProxy:
    """port: where it listens; left: connections that it will still break."""

    port: int
    left: int


@contextmanager
def breaking(port: int, after_bytes: int, times: int) -> Iterator[BreakingProxy]:
    """In front of a port of this machine, it breaks the first connections that send more than so many bytes."""

    def pump(source: socket.socket, target: socket.socket, *, up: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(4096):
                passed += len(data)
                if up and passed > after_bytes and proxy.left:
                    proxy.left -= 1
                    break
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def connect(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", port)) as upstream:
            down = Thread(target=pump, args=(upstream, client), kwargs={"up": False})
            down.start()
            pump(client, upstream, up=True)
            down.join()

    def serve() -> None:
        threads = []
        with suppress(OSError):
            while True:
                threads.append(Thread(target=connect, args=(listening.accept()[0],)))
                threads[-1].start()
        for thread in threads:
            thread.join()

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        proxy = BreakingProxy(port=listening.getsockname()[1], left=times)
        serving = Thread(target=serve)
        serving.start()
        try:
            yield proxy
        finally:
            listening.shutdown(socket.SHUT_RDWR)  # which wakes accept
            serving.join()
