"""Limits how often each client may ask."""

from __future__ import annotations

MOST_CLIENTS = 10_000
_ROUNDING_S = 1e-6


class RateLimit:
    """A token bucket for each client: it holds the requests of a minute, and fills evenly.

    A bucket is one number, the time at which it is full again (generic cell rate algorithm, ITU-T I.371). Only the last
    10,000 clients are remembered; any other has a full bucket.

    >>> limit = RateLimit(per_minute=2)
    >>> [limit.wait_s("anna", now_s) for now_s in (0, 0, 0, 20, 30)]
    [0, 0, 30.0, 10.0, 0]

    Args:
        per_minute: Maximum requests per minute, and at once.
    """

    def __init__(self, *, per_minute: int) -> None:
        self._step_s = 60 / per_minute
        self._most_s = (per_minute - 1) * self._step_s  # until a bucket with one token is full
        self._full_s: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_s)

    def wait_s(self, client: str, now_s: float) -> float:
        """Count a request, unless it comes too early.

        Args:
            client: Name of the client.
            now_s: The time in seconds, by one clock for all calls.

        Returns:
            0 if the request is counted; else the seconds after which it would be.
        """
        full_s = max(now_s, self._full_s.pop(client, now_s))
        early_s = full_s - now_s - self._most_s
        early = early_s > _ROUNDING_S
        self._full_s[client] = full_s if early else full_s + self._step_s
        if len(self._full_s) > MOST_CLIENTS:
            del self._full_s[next(iter(self._full_s))]
        return early_s if early else 0
