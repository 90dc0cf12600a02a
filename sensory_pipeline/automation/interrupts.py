"""Ctrl-C and SIGTERM while Dagster runs."""

from __future__ import annotations

import signal
import socket
import threading
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


@contextmanager
def keep_sigterm() -> Iterator[None]:
    """Give SIGTERM its handler back after a run of Dagster.

    Dagster leaves it the handler of SIGINT. A script's background jobs ignore SIGINT, so only SIGKILL would end them.
    """
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():  # Dagster changes it in no other
            signal.signal(signal.SIGTERM, before)
