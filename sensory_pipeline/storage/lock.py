"""A lock between the processes of one host; the kernel releases it when its holder dies."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

log = logging.getLogger(__name__)

SILENT_S = 1.0
"""Seconds of waiting that are not worth a message."""


@contextmanager
def held(path: Path, *, what: str, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive flock on a file.

    Args:
        path: The file; it is created if necessary.
        what: Name of what is locked, for the log message after a second of waiting.
        wait: Whether to wait while another process holds the lock.

    Raises:
        BlockingIOError: Another process holds it, and `wait` is false.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(
        path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666
    )  # so that a group can share it, if the umask allows
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise
            _wait(handle, what)
        yield
    finally:
        os.close(handle)


def _wait(handle: int, what: str) -> None:
    """Take the lock when the other process releases it."""
    silent_until = time.monotonic() + SILENT_S
    while time.monotonic() < silent_until:
        time.sleep(0.02)
        with suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
    log.warning("waiting for another process to finish with %s", what)
    fcntl.flock(handle, fcntl.LOCK_EX)
