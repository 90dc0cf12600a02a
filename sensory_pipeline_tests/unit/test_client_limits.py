"""How often a client may ask, by a clock that the test turns."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensory_pipeline.core import rate_limit
from sensory_pipeline.core.rate_limit import RateLimit
from sensory_pipeline.gateway.client_limits import ClientLimits
from sensory_pipeline.gateway.problems import Problem


@given(per_minute=st.integers(1, 50), pauses_s=st.lists(st.floats(0, 90), max_size=60))
def test_no_stretch_of_time_has_more_than_its_share(per_minute: int, pauses_s: list[float]) -> None:
    limit = RateLimit(per_minute=per_minute)
    moments = [1e5 + moment_s for moment_s in accumulate(pauses_s)]
    counted = [now_s for now_s in moments if not limit.wait_s("anna", now_s)]
    for first, began_s in enumerate(counted):
        for last, ended_s in enumerate(counted[first:], first):
            assert last - first + 1 <= per_minute * (1 + (ended_s - began_s) / 60) + 1e-3


@given(per_minute=st.integers(1, 50), pause_s=st.floats(0, 90))
def test_who_comes_when_told_to_is_let_in(per_minute: int, pause_s: float) -> None:
    limit = RateLimit(per_minute=per_minute)
    assert [limit.wait_s("anna", 1e5) for _ in range(per_minute)] == [0] * per_minute
    wait_s = limit.wait_s("anna", 1e5)
    assert wait_s == pytest.approx(60 / per_minute)
    assert limit.wait_s("boris", 1e5) == 0
    again_s = limit.wait_s("anna", 1e5 + pause_s)
    assert (again_s == 0) == (pause_s >= wait_s - 1e-5) or abs(pause_s - wait_s) < 1e-3
    assert limit.wait_s("anna", 1e5 + pause_s + again_s + wait_s) == 0


def test_only_so_many_clients_are_remembered() -> None:
    limit = RateLimit(per_minute=1)
    for number in range(2 * rate_limit.MOST_CLIENTS):
        assert limit.wait_s(f"{number}", 0) == 0
        assert len(limit) <= rate_limit.MOST_CLIENTS
    assert limit.wait_s(f"{number}", 0) > 0


def test_a_refusal_says_when_to_come_again() -> None:
    now_s, refused = [0.0], list[str]()
    limits = ClientLimits(per_minute=6, refused=refused.append, clock=lambda: now_s[0])
    for _ in range(6):
        limits.count("anna")
    now_s[0] = 0.5
    with pytest.raises(Problem, match="6 requests a minute") as caught:
        limits.count("anna")
    assert (caught.value.status, caught.value.headers, refused) == (429, {"Retry-After": "10"}, ["rate"])
    now_s[0] += 10
    limits.count("anna")


def test_places_come_back() -> None:
    refused = list[str]()
    limits = ClientLimits(at_once=2, refused=refused.append)
    limits.enter("anna")
    with limits.place("anna"), pytest.raises(Problem, match="2 requests and streams at once"):
        limits.enter("anna")
    limits.enter("boris")
    with limits.place("anna"):
        pass
    assert refused == ["concurrency"]
