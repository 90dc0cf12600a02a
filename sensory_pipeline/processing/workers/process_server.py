"""The server that engine processes are forked from.

It is multiprocessing's (https://docs.python.org/3/library/multiprocessing.html#contexts-and-start-methods): a process
without models that has our modules imported, and that computes nothing, so it can be forked at any time. A fork of it
takes some milliseconds of the processor instead of half a second, and shares the memory of these modules. It ends with
the process that started it.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

from sensory_pipeline.core.errors import ConfigurationError

_IMPORTED = ["sensory_pipeline.processing.workers.process_main"]
_SAFE_PATH = "PYTHONSAFEPATH"


def server_context() -> ForkServerContext:
    """The context whose processes are forks of the server, which runs.

    Raises:
        ConfigurationError: The temporary folder's path is too long for the server's socket.
        OSError: The server cannot be started now.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    try:
        with _without_current_directory():
            forkserver.ensure_running()
    except OSError as error:
        if error.errno is not None:  # from the system, and perhaps not for long; Python itself measures the path
            raise
        raise ConfigurationError(
            f"engine processes cannot be started ({error}): set TMPDIR to a folder with a short path"
        ) from error
    return context


def end_with_the_server() -> None:
    """Let the server end as soon as the process that started it has ended; call it in each fork.

    The server waits for the end of a pipe, of which Python gives each fork an end too.
    """
    os.close(forkserver._forkserver._forkserver_alive_fd)  # type: ignore[attr-defined]


@contextmanager
def _without_current_directory() -> Iterator[None]:
    """Let a Python that is started in the block import nothing from the current directory, where recordings may be."""
    before = os.environ.get(_SAFE_PATH)  # noqa: TID251
    os.environ[_SAFE_PATH] = "1"  # noqa: TID251
    try:
        yield
    finally:
        os.environ.pop(_SAFE_PATH, None)  # noqa: TID251
        if before is not None:
            os.environ[_SAFE_PATH] = before  # noqa: TID251
