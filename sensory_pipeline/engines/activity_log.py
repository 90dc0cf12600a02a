"""A log of what engines do and when; their process sends it to the one that draws the timeline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from sensory_pipeline.core.timeline import Activity, Kind


class ActivityLog:
    """The activities of one process. Threads may write at once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._noted: list[Activity] = []

    @contextmanager
    def noting(self, kind: Kind, what: str) -> Iterator[None]:
        """Note how long the `with` block takes, even if it raises."""
        start_s = time.time()
        try:
            yield
        finally:
            # whoever takes the log knows the lane
            activity = Activity(lane="", kind=kind, what=what, start_s=start_s, end_s=time.time())
            with self._lock:
                self._noted.append(activity)

    def taken(self) -> list[Activity]:
        """The activities since the last call."""
        with self._lock:
            noted, self._noted = self._noted, []
        return noted
