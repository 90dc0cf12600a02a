"""A lock between processes of one host that the kernel releases when its holder dies."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)


@contextmanager
def held(path: Path, *, what: str, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive flock on `path`, waiting for it as long as another process has it.

    what: names the guarded thing in the log while waiting. Raises BlockingIOError, where nobody is to wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)  # for a group that shares, by its umask
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise
            log.warning("waiting for another process to finish with %s", what)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
