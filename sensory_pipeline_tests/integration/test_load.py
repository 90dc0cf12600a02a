"""What the benchmarks of the service count: answers, refusals, lost recordings, streams at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import islice

import pytest
from fastapi import FastAPI, UploadFile
from fastapi.responses import JSONResponse

from bench.load import Load, Outcome, Recording, load, texts_of
from bench.long_stream import long_stream
from bench.simultaneous import levels, most_at_once
from sensory_pipeline_tests.kennedy import SOUND
from sensory_pipeline_tests.live_server import executor, last_word, live_server, served

SENT = [Recording(name=name, content=b"sound", duration_s=2.0) for name in ("good", "refused", "bad", "silly")]


@pytest.fixture
def seen() -> Counter[str]:
    """How often each recording came."""
    return Counter()


@pytest.fixture
def server(seen: Counter[str]) -> Iterator[str]:
    """Refuses a recording every other time, fails on another, and gives one an answer without a text."""
    app = FastAPI()

    @app.post("/v1/process")
    async def process(audio: UploadFile) -> JSONResponse:
        name = str(audio.filename)
        seen[name] += 1
        is_odd = seen[name] % 2 == 1
        await asyncio.sleep(0.01)
        if name == "refused" and is_odd:
            return JSONResponse({}, 429, headers={"Retry-After": "0"})
        if name == "bad":
            return JSONResponse({}, 429 if is_odd else 500)
        return JSONResponse({"result": None if name == "silly" else {"tra": {"text": name.upper()}}})

    with served(app) as address:
        yield address.replace("ws", "http")


def test_every_recording_is_counted(server: str, seen: Counter[str]) -> None:
    assert texts_of(server, SENT[:2]) == {"good": "GOOD", "refused": "REFUSED"}
    seen.clear()
    found = load(server, SENT, clients=3, seconds=0.4)
    ends = {
        name: {(one.text, one.failure) for one in found.outcomes if one.recording == name}
        for name in (one.name for one in SENT)
    }
    assert ends.pop("refused") - {(None, "")} == {("REFUSED", "")}  # the last one may not be sent again
    assert ends == {
        "good": {("GOOD", "")},
        "bad": {(None, "status 429"), (None, "status 500")},  # a refusal has to say for how long
        "silly": {(None, "status 200")},
    }
    assert {one.recording for one in found.lost} == {"bad", "silly"}
    assert found.refusals == (seen["refused"] + 1) // 2
    assert found.others({"good": "GOOD", "refused": "other"}) == seen["refused"] // 2
    assert len(found.memory_mb) == 1


def test_recordings_are_lost_if_there_is_no_service() -> None:
    found = load("http://127.0.0.1:9", SENT[:1], clients=1, seconds=0.01)
    assert {one.failure for one in found.outcomes} == {"ConnectError"}


def test_throughput_counts_answers_that_came_while_clients_sent() -> None:
    def outcome(ended_s: float) -> Outcome:
        return Outcome(recording="a", audio_s=6.0, text="a", seconds=ended_s, ended_s=ended_s, refusals=0)

    found = Load(clients=3, seconds=2.0, outcomes=(outcome(1.0), outcome(2.0), outcome(3.0)), memory_mb=(1.0,))
    assert (found.audio_per_s, found.requests_per_s, found.latency_s(50)) == (6.0, 1.0, 2.0)


def test_streams_are_added_until_their_words_are_late() -> None:
    with executor(last_word) as engines, live_server(engines) as address:
        url = address.replace("ws", "http")
        one, two = islice(levels(url, [SOUND], seconds=2, limit_s=60), 2)
        assert [level.streams for level in levels(url, [SOUND], seconds=2, limit_s=-60)] == [1]
    assert (one.streams, two.streams) == (1, 2)
    assert 0 < one.words < two.words
    assert one.partial_s <= one.final_s
    assert most_at_once([one, two], limit_s=60) == 2


def test_a_long_stream_repeats_its_recordings() -> None:
    with executor(last_word) as engines, live_server(engines) as address:
        found = long_stream(address.replace("ws", "http"), [SOUND], 1.2 * SOUND.span.duration_s)
    assert found.words > 1
    assert found.wall_s < found.audio_s
    assert found.memory_mb
