"""Whose recording is next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sensory_pipeline.core.fair_queue import FairQueue, Ticket


def ticket(client: str, audio_s: float, arrived_s: float = 0) -> Ticket:
    return Ticket(client=client, audio_s=audio_s, arrived_s=arrived_s)


def order(queue: FairQueue) -> list[tuple[str, float]]:
    """Of all that waits, one at work at a time."""
    taken = []
    while (one := queue.take()) is not None:
        taken.append((one.client, one.audio_s))
        queue.done(one)
    return taken


def queue(*tickets: Ticket, places: int = 1) -> FairQueue:
    made = FairQueue(places=places, long_places=1, long_s=60)
    for one in tickets:
        made.add(one)
    return made


def test_a_client_with_one_recording_does_not_wait_behind_anothers_hundred() -> None:
    crowd = [ticket("a", 10, number) for number in range(100)]
    assert ("b", 10) in order(queue(*crowd, ticket("b", 10, 100)))[:2]


def test_short_recordings_come_first_until_a_long_one_has_waited_its_length() -> None:
    assert order(queue(ticket("a", 50), ticket("a", 5, 1))) == [("a", 5), ("a", 50)]
    assert order(queue(ticket("a", 50), ticket("a", 5, 46))) == [("a", 50), ("a", 5)]


def test_a_short_recording_gets_a_place_while_long_ones_are_processed() -> None:
    waiting = queue(ticket("a", 3600), ticket("a", 7200), ticket("a", 9, 9999), places=3)
    at_work = [waiting.take(), waiting.take(), waiting.take()]
    assert [one.audio_s if one else None for one in at_work] == [3600, 9, None]
    assert (waiting.waiting, waiting.waiting_s, waiting.at_work) == (1, 7200, 2)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.1, 500), st.floats(0, 100), st.booleans()), max_size=30))
def test_each_request_is_served_once_or_gives_up(given_tickets: list[tuple[str, float, float, bool]]) -> None:
    waiting = FairQueue(places=2, long_places=1, long_s=60)
    stay = []
    for client, audio_s, arrived_s, leaves in given_tickets:
        one = ticket(client, audio_s, arrived_s)
        waiting.add(one)
        if leaves:
            waiting.done(one)
        else:
            stay.append((client, audio_s))
    assert sorted(order(waiting)) == sorted(stay)
    assert (waiting.waiting, waiting.at_work) == (0, 0)
