"""Ctrl-C while Dagster runs."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def watch_interrupts() -> Iterator[Callable[[], bool]]:
    """Give a function that returns whether Ctrl-C was pressed since its last call.

    Dagster has its own handler while it runs, and loses a Ctrl-C between two steps. Python writes to this socket before
    it calls any handler.
    """
    receiver, sender = socket.socketpair()
    with receiver, sender:
        receiver.setblocking(False)
        sender.setblocking(False)
        before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)

        def interrupted() -> bool:
            try:
                return signal.SIGINT in receiver.recv(4096)
            except BlockingIOError:
                return False

        try:
            yield interrupted
        finally:
            signal.set_wakeup_fd(before)
