"""Which recording is next: fair between clients, short before long, and none waits for ever.

The client with the least audio done so far is next (start-time fair queueing; Goyal, Vin and Cheng, 1996). Of its
recordings, the one with the earliest sum of arrival and length is next: a short one overtakes a long one, but no
recording is overtaken by one of the same client that arrives after it has waited its own length. Long recordings leave
some places free for short ones, whichever came first.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ticket:
    """A recording that waits or is being processed.

    Attributes:
        client: Whose it is.
        audio_s: Its length in seconds.
        arrived_s: When it arrived, in seconds, by one clock for all tickets.
    """

    client: str
    audio_s: float
    arrived_s: float

    @property
    def due_s(self) -> float:
        """When it will have waited for as long as it lasts."""
        return self.arrived_s + self.audio_s


class FairQueue:
    """The recordings that wait, and those being processed.

    >>> queue = FairQueue(places=1, long_places=1, long_s=60)
    >>> for client, audio_s in (("a", 50), ("a", 10), ("b", 30)):
    ...     queue.add(Ticket(client=client, audio_s=audio_s, arrived_s=0))
    >>> order = []
    >>> while ticket := queue.take():
    ...     order.append((ticket.client, ticket.audio_s))
    ...     queue.done(ticket)
    >>> order
    [('a', 10), ('b', 30), ('a', 50)]

    Args:
        places: How many recordings are processed at once.
        long_places: How many of these may be longer than `long_s`.
        long_s: Seconds.
    """

    def __init__(self, *, places: int, long_places: int, long_s: float) -> None:
        self._places = places
        self._long_places = long_places
        self._long_s = long_s
        self._waiting: dict[str, list[Ticket]] = {}
        self._at_work: set[Ticket] = set()
        self._had_s: dict[str, float] = {}
        """Seconds of audio done for each client. A new client starts at the lowest of these."""

    @property
    def waiting_s(self) -> float:
        """Seconds of audio that wait."""
        return sum(ticket.audio_s for tickets in self._waiting.values() for ticket in tickets)

    @property
    def waiting(self) -> int:
        """Number of recordings that wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def at_work(self) -> int:
        """Number of recordings being processed."""
        return len(self._at_work)

    def add(self, ticket: Ticket) -> None:
        """Add a recording that waits."""
        if ticket.client not in self._had_s:
            self._had_s[ticket.client] = min(self._had_s.values(), default=0.0)
        self._waiting.setdefault(ticket.client, []).append(ticket)

    def take(self) -> Ticket | None:
        """The next recording for which there is a place, or None. It counts as being processed from now on."""
        if len(self._at_work) >= self._places:
            return None
        room_for_long = sum(self._long(ticket) for ticket in self._at_work) < self._long_places
        nexts = [
            min(able, key=lambda ticket: ticket.due_s)
            for tickets in self._waiting.values()
            if (able := [ticket for ticket in tickets if room_for_long or not self._long(ticket)])
        ]
        if not nexts:
            return None
        chosen = min(nexts, key=lambda ticket: self._had_s[ticket.client])
        self._had_s[chosen.client] += chosen.audio_s
        self._remove(chosen)
        self._at_work.add(chosen)
        return chosen

    def done(self, ticket: Ticket) -> None:
        """Remove a recording that has been processed, or no longer waits."""
        if ticket in self._at_work:
            self._at_work.remove(ticket)
        else:
            self._remove(ticket)
        if ticket.client not in self._waiting and all(other.client != ticket.client for other in self._at_work):
            del self._had_s[ticket.client]

    def _long(self, ticket: Ticket) -> bool:
        return ticket.audio_s > self._long_s

    def _remove(self, ticket: Ticket) -> None:
        self._waiting[ticket.client].remove(ticket)
        if not self._waiting[ticket.client]:
            del self._waiting[ticket.client]
