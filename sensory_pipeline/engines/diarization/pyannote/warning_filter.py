"""A filter of pyannote's warnings."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()  # which warnings are shown is a setting of the process


@contextmanager
def silenced() -> Iterator[None]:
    """Run one thread at a time, without pyannote's warnings, which nobody can act on.

    They are about libraries for reading audio files, means of nothing, fewer speakers than requested, and
    TensorFloat-32.
    """
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
