"""The server that engine processes are forked from.

It is multiprocessing's (https://docs.python.org/3/library/multiprocessing.html#contexts-and-start-methods): a process
without threads and without models that has our modules imported. A fork of it starts in some milliseconds instead of
half a second of the processor, and shares the memory of these modules. It ends with the process that needed it first.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

_IMPORTED = ["sensory_pipeline.processing.workers.process_main"]
_SAFE_PATH = "PYTHONSAFEPATH"


def server_context() -> ForkServerContext:
    """The context whose processes are forks of the server, which runs."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    with _without_current_directory():
        forkserver.ensure_running()
    return context


@contextmanager
def _without_current_directory() -> Iterator[None]:
    """Let a Python that is started in the block import nothing from the current directory, where recordings may be."""
    before = os.environ.get(_SAFE_PATH)  # noqa: TID251
    os.environ[_SAFE_PATH] = "1"  # noqa: TID251
    yield
    if before is None:
        del os.environ[_SAFE_PATH]  # noqa: TID251
    else:
        os.environ[_SAFE_PATH] = before  # noqa: TID251
