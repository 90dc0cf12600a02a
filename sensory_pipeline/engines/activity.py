"""Engines note what they do when; the process they live in sends it to whoever draws it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from sensory_pipeline.core.timeline import Activity, Kind


class ActivityLog:
    """Of one process. Threads may write at once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._noted: list[Activity] = []

    @contextmanager
    def noting(self, kind: Kind, what: str) -> Iterator[None]:
        """Notes how long the `with` takes, also one that raises."""
        start_s = time.time()
        try:
            yield
        finally:
            # the lane is known to whoever asks
            activity = Activity(lane="", kind=kind, what=what, start_s=start_s, end_s=time.time())
            with self._lock:
                self._noted.append(activity)

    def taken(self) -> list[Activity]:
        """What was noted since the last time."""
        with self._lock:
            noted, self._noted = self._noted, []
        return noted
