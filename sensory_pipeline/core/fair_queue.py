"""Whose recording is next: fair between clients, short before long, and nobody waits for ever.

Each client's turn comes when it has had the least audio done (start-time fair queueing; Goyal, Vin and Cheng, 1996).
Of its own recordings the next is the one whose arrival plus length is the earliest, so that what is short overtakes
what is long, but not what has waited for as long as it is. Long ones leave places free for short ones.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ticket:
    """A recording that waits or is at work. audio_s: its seconds of sound; arrived_s: by the one clock of all."""

    client: str
    audio_s: float
    arrived_s: float

    @property
    def due_s(self) -> float:
        """When it has waited for as long as it is."""
        return self.arrived_s + self.audio_s


class FairQueue:
    """places: recordings at work at once; long_places: of these, how many may be longer than long_s, in seconds.

    >>> queue = FairQueue(places=1, long_places=1, long_s=60)
    >>> for client, audio_s in (("a", 50), ("a", 10), ("b", 30)):
    ...     queue.add(Ticket(client=client, audio_s=audio_s, arrived_s=0))
    >>> order = []
    >>> while ticket := queue.take():
    ...     order.append((ticket.client, ticket.audio_s))
    ...     queue.done(ticket)
    >>> order
    [('a', 10), ('b', 30), ('a', 50)]
    """

    def __init__(self, *, places: int, long_places: int, long_s: float) -> None:
        self._places = places
        self._long_places = long_places
        self._long_s = long_s
        self._waiting: dict[str, list[Ticket]] = {}
        self._at_work: set[Ticket] = set()
        self._had_s: dict[str, float] = {}
        """Seconds of audio that clients have had, from where the least served stood when they came."""

    @property
    def waiting_s(self) -> float:
        """Seconds of audio that wait."""
        return sum(ticket.audio_s for tickets in self._waiting.values() for ticket in tickets)

    @property
    def waiting(self) -> int:
        """Recordings that wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def at_work(self) -> int:
        """Recordings that have their places."""
        return len(self._at_work)

    def add(self, ticket: Ticket) -> None:
        """It waits now."""
        if ticket.client not in self._had_s:
            self._had_s[ticket.client] = min(self._had_s.values(), default=0.0)
        self._waiting.setdefault(ticket.client, []).append(ticket)

    def take(self) -> Ticket | None:
        """The next one that there is a place for; it is at work from now on."""
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
        """It is at work no more, or waits no more."""
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
