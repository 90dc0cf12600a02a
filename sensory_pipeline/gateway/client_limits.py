"""Limits of each client: requests per minute, and requests and live streams at once."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sensory_pipeline.core.rate_limit import RateLimit
from sensory_pipeline.gateway.problems import busy

_PAUSE_S = 5.0  # before the next attempt, if too many are in progress


class ClientLimits:
    """The limits, for one event loop. A client is the owner of a key or, without keys, an address.

    Args:
        per_minute: Maximum requests per minute; None for no limit.
        at_once: Maximum requests and live streams at once; None for no limit.
        refused: Called with the name of the limit for each refused request.
        clock: Returns the time in seconds.
    """

    def __init__(
        self,
        *,
        per_minute: int | None = None,
        at_once: int | None = None,
        refused: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_minute = per_minute
        self._rate = None if per_minute is None else RateLimit(per_minute=per_minute)
        self._at_once = at_once
        self._places: Counter[str] = Counter()
        self._refused = refused
        self._clock = clock

    def count(self, client: str) -> None:
        """Count a request.

        Raises:
            Problem: The client has sent too many.
        """
        if self._rate is None or not (wait_s := math.ceil(self._rate.wait_s(client, self._clock()))):
            return
        self._refused("rate")
        raise busy(
            "rate-limited",
            f"one client may send {self._per_minute} requests a minute (SENSORY_KEY_REQUESTS_PER_MINUTE): send it "
            f"again in {wait_s} s",
            wait_s,
        )

    def enter(self, client: str) -> None:
        """Take a place, until `leave` gives it back.

        Raises:
            Problem: The client has all of its places.
        """
        if self._at_once is not None and self._places[client] >= self._at_once:
            self._refused("concurrency")
            raise busy(
                "too-many-at-once",
                f"one client may have {self._at_once} requests and streams at once (SENSORY_KEY_CONCURRENT_REQUESTS): "
                "wait until one ends",
                _PAUSE_S,
            )
        self._places[client] += 1

    def leave(self, client: str) -> None:
        """Give a place back."""
        self._places[client] -= 1
        if not self._places[client]:
            del self._places[client]

    @contextmanager
    def place(self, client: str) -> Iterator[None]:
        """Hold a place for the duration of the `with` block.

        Raises:
            Problem: The client has all of its places.
        """
        self.enter(client)
        try:
            yield
        finally:
            self.leave(client)
