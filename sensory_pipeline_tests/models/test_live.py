"""Live speech over a WebSocket: the frames of the contract, and what happens to clients that do not keep to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import jiwer
import numpy as np
import pytest
from structlog.testing import capture_logs
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from sensory_pipeline.core.agreement import MOST_MS
from sensory_pipeline.core.process_request import ProcessRequest, Task
from sensory_pipeline.core.spans import Span
from sensory_pipeline.engines.selection import Engines, chosen_engines
from sensory_pipeline.engines.spec import EngineChoice
from sensory_pipeline.gateway.live_engines import LiveEngines
from sensory_pipeline.gateway.live_messages import Outbox, TooSlow
from sensory_pipeline.gateway.live_session import LiveSession, TooFast
from sensory_pipeline.gateway.live_sound import LiveSound
from sensory_pipeline.gateway.live_stream import Stream
from sensory_pipeline.processing.workers.future_executor import EngineExecutor
from sensory_pipeline_tests.kennedy import KENNEDY, SAID, SOUND, plain, resample
from sensory_pipeline_tests.live_server import (
    Message,
    closing_of,
    connected,
    executor,
    last_word,
    live_server,
    messages,
    send,
    slow_last_word,
)
from sensory_pipeline_tests.miniature_whisper import miniature
from sensory_pipeline_tests.published_models import published

NAME = "a-session-of-this-test"


@pytest.fixture(scope="module")
def shared() -> Iterator[EngineExecutor]:
    with executor(last_word) as running:
        yield running


@pytest.fixture(scope="module")
def server(shared: EngineExecutor) -> Iterator[str]:
    with live_server(shared) as address:
        yield address


def final(found: list[Message]) -> list[Message]:
    return [message for message in found if message.get("words")]


def test_frames_are_those_of_the_contract(server: str) -> None:
    with connected(server) as client:
        send(client, KENNEDY)
        client.send(b"")
        found = messages(client)
        assert client.close_code == 1000
    assert len(final(found)) > 1  # Kennedy pauses
    for message in final(found):
        assert {"start", "end", "text", "words", "emotional"} <= message.keys()
        assert message["emotional"] is None
        (word,) = message["words"]  # of these engines: how many milliseconds they heard
        assert word.keys() == {"start", "end", "word", "confidence"}
        assert word["word"] == f" {message['text']}"
        assert (message["start"], message["end"]) == (word["start"], word["end"])
    spans = [(message["start"], message["end"]) for message in final(found)]
    assert spans == sorted(spans)
    assert spans[-1][1] <= SOUND.duration_ms / 1000
    assert [message["number"] for message in final(found)] == list(range(1, len(spans) + 1))


def test_a_text_frame_ends_the_stream_too(server: str) -> None:
    with connected(server) as client:
        send(client, KENNEDY)
        client.send("END_STREAM")
        assert final(messages(client))
        assert client.close_code == 1000


def test_silence_gives_no_words(server: str) -> None:
    with connected(server) as client:
        send(client, bytes(2 * 16_000 * 5))
        client.send(b"")
        assert not final(messages(client))


@pytest.mark.parametrize("rate", [8_000, 24_000])
def test_other_sample_rates(server: str, rate: int) -> None:
    other = resample(KENNEDY, rate)
    ends = []
    for query, sound in (("", KENNEDY), (f"?sample_rate={rate}", other)):
        with connected(server, query) as client:
            send(client, sound, 4_001)  # frames may cut a sample in two
            client.send(b"")
            found = final(messages(client))
            ends.append([found[0]["end"], found[-1]["end"]])
    assert ends[1] == pytest.approx(ends[0], abs=0.3)


def test_each_phrase_has_an_emotion_if_requested(server: str) -> None:
    with connected(server, settings={"settings": {"tasks": ["transcribe", "emotion"]}}) as client:
        send(client, KENNEDY)
        client.send(b"")
        found = messages(client)
    felt = [message for message in found if message.get("emotional")]
    assert len(felt) == len(final(found))
    assert felt[0]["emotional"] == {"angry": 0.1, "sad": 0.1, "neutral": 0.7, "positive": 0.1}
    assert felt[0]["start"] == final(found)[0]["start"]


def test_partial_words_are_not_among_the_final_ones(server: str) -> None:
    with connected(server) as client:
        first = KENNEDY[: 2 * 16_000]
        send(client, first)
        partial = json.loads(client.recv(timeout=20))
        while not partial["partial"]:
            partial = json.loads(client.recv(timeout=20))
        assert (partial["text"], partial["words"]) == ("", [])
        client.send(b"")
        (said,) = final(messages(client))
        assert said["partial"] == []


def test_pings_are_answered_while_engines_work() -> None:
    with executor(slow_last_word) as busy, live_server(busy) as server, connected(server) as client:
        send(client, KENNEDY[: 2 * 16_000])
        client.send(b"")
        for _ in range(5):
            assert client.ping().wait(1)
        # and the answer has not come yet
        with pytest.raises(TimeoutError):
            client.recv(timeout=0)
        assert final(messages(client))


@pytest.mark.parametrize(
    ("query", "first", "code", "reason"),
    [
        ("", "nonsense", 4400, "Expecting value"),
        ("", b"\0\0", 1003, "first frame is text"),
        ("?sample_rate=44100", "{}", 4400, "8000, 16000, 24000"),
        ("?session=short", "{}", 4400, "16 to 64"),
        ("?after=-1", "{}", 4400, "number"),
    ],
)
def test_errors_name_what_is_wrong(server: str, query: str, first: str | bytes, code: int, reason: str) -> None:
    with connect(f"{server}/v1/ws{query}", proxy=None) as client:
        with suppress(ConnectionClosed):  # by a server that has seen enough
            client.send(first)
        closed, why, said = closing_of(client)
    assert closed == code
    assert reason in why
    assert reason in said[-1]["error"]


def test_an_unknown_language_closes_the_session(server: str) -> None:
    with connected(server, settings={"settings": {"tasks": ["transcribe"], "tra": {"language": "de"}}}) as client:
        send(client, KENNEDY[: 2 * 16_000])
        client.send(b"")
        code, reason, _ = closing_of(client)
    assert (code, reason) == (4400, "trivial speaks no de")


def test_a_prompt_that_does_not_fit_ends_the_session_with_its_reason(whisper: Path) -> None:
    tra = {"language": "en", "hotwords": "two " * 300, "window_padding_s": 5}
    with (
        executor(miniature) as shared,
        live_server(shared) as server,
        connected(server, settings={"settings": {"tasks": ["transcribe"], "tra": tra}}) as client,
    ):
        send(client, KENNEDY[: 2 * 16_000])
        client.send(b"")
        code, reason, _ = closing_of(client)
    assert code == 4400
    assert reason.startswith("hotwords and initial prompt are")


def test_clients_that_are_too_slow_or_too_fast(shared: EngineExecutor) -> None:
    with live_server(shared, backlog_s=5, idle_s=0.3, frame_bytes=1 << 17, sessions=1) as server:
        with connected(server) as client:
            with suppress(ConnectionClosed):
                send(client, bytes(2 * 16_000 * 60), 1 << 16)
            code, reason, _ = closing_of(client)
            assert (code, "5 s wait" in reason) == (4429, True)
        with connected(server) as client:
            client.send(bytes((1 << 17) + 2))
            assert closing_of(client)[0] == 1009
        with connected(server) as client:
            client.send("something")
            assert closing_of(client)[0] == 1003
        with connected(server) as client:
            assert closing_of(client)[:2] == (4408, "no sound for 0 s: send silence too")
        with connected(server) as another:  # that session is kept for its client
            assert closing_of(another)[0] == 1013


@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "unnoticed"])
def test_a_broken_connection_is_resumed(server: str, noticed: bool) -> None:
    with connected(server) as client:
        send(client, KENNEDY)
        client.send(b"")
        whole = final(messages(client))
    with connected(server, f"?session={NAME}") as before:
        send(before, KENNEDY[: len(KENNEDY) // 2])
        first = json.loads(before.recv(timeout=20))
        while not first["words"]:
            first = json.loads(before.recv(timeout=20))
        if noticed:
            before.socket.close()
        with connected(server, f"?resume={NAME}&after={first['number']}") as client:
            resumed = json.loads(client.recv(timeout=20))
            assert resumed["session"] == NAME
            send(client, KENNEDY[resumed["received"] :])
            client.send(b"")
            rest = final(messages(client))
        if not noticed:
            assert closing_of(before)[0] == 4409
    numbers = [message["number"] for message in (first, *rest)]
    assert numbers == list(range(1, len(whole) + 1))
    assert [message["end"] for message in (first, *rest)] == pytest.approx([message["end"] for message in whole], abs=1)


@pytest.mark.parametrize("frame_bytes", [322, 3_200, 5_120, 16_000])
def test_the_same_sound_has_the_same_pauses_however_it_comes(shared: EngineExecutor, frame_bytes: int) -> None:
    request = ProcessRequest(tasks=frozenset({Task.TRANSCRIBE}))
    stream = Stream(rate=16_000, request=request, backlog_s=20, tells_speech=True)

    async def stops(frame_bytes: int) -> list[int]:
        with closing(LiveEngines(shared)) as engines:
            session = LiveSession(stream, engines)
            running = asyncio.create_task(session.run())
            for start in range(0, len(KENNEDY), frame_bytes):
                session.feed(KENNEDY[start : start + frame_bytes])
                await asyncio.sleep(0)
            session.end()
            await running
            return [
                message["at_ms"] async for message in session.results.after(0) if message.get("speech") == "stopped"
            ]

    found = asyncio.run(stops(frame_bytes))
    assert len(found) == 4
    assert found == asyncio.run(stops(len(KENNEDY)))


def test_a_session_that_is_over_cannot_be_resumed(shared: EngineExecutor) -> None:
    with live_server(shared, resume_s=0) as server:
        with connected(server, f"?session={NAME}") as client:
            send(client, KENNEDY[:16_000])
        answer: Message = {}
        while "error" not in answer:
            with connected(server, f"?resume={NAME}") as client:
                answer = json.loads(client.recv(timeout=20))
        assert answer["error"] == "this session is over: begin a new one"


def test_an_error_that_nobody_reads_is_logged() -> None:
    stream = Stream(rate=16_000, request=ProcessRequest(tasks=frozenset({Task.TRANSCRIBE})), backlog_s=20)
    with executor(last_word) as closed:
        pass
    with closing(LiveEngines(closed)) as engines, capture_logs() as logged:
        session = LiveSession(stream, engines)
        session.feed(KENNEDY[: 3 * 32_000])
        session.end()
        asyncio.run(session.run())
    assert [(entry["event"], entry["error"]) for entry in logged] == [
        ("live_failed", "the engines are closed [EngineUnavailable]")
    ]


def test_kennedy_is_transcribed() -> None:
    """What is decoded together depends on when frames come, so a word or two may be heard otherwise."""
    published("whisper-tiny.en")
    with executor(tiny) as real, live_server(real, backlog_s=20) as server, connected(server) as client:
        send(client, KENNEDY)
        client.send(b"")
        found = messages(client)
    said = [word["word"] for message in final(found) for word in message["words"]]
    heard = plain("".join(said))
    assert jiwer.wer(SAID, " ".join(heard)) <= 0.1
    assert plain(" ".join(message["text"] for message in final(found))) == heard


def test_memory_does_not_grow_with_the_stream(shared: EngineExecutor, soak: bool) -> None:
    kept, told = asyncio.run(_kennedy_for_ever(shared, times=330 if soak else 10))
    assert max(kept) <= MOST_MS
    assert told > 20


async def _kennedy_for_ever(shared: EngineExecutor, times: int) -> tuple[list[int], int]:
    """How much sound was in memory each second, and how many messages came."""
    stream = Stream(rate=16_000, request=ProcessRequest(tasks=frozenset({Task.TRANSCRIBE})), backlog_s=2)
    with closing(LiveEngines(shared)) as asked:
        session = LiveSession(stream, asked)
        running, read = asyncio.create_task(session.run()), asyncio.create_task(_words(session))
        kept = []
        for _ in range(times):
            for start in range(0, len(KENNEDY), 32_000):
                while True:
                    try:
                        session.feed(KENNEDY[start : start + 32_000])
                        break
                    except TooFast:
                        await asyncio.sleep(0.001)
                kept.append(session.kept_ms)
        session.end()
        await running
        return kept, await read


async def _words(session: LiveSession) -> int:
    return sum([len(message["words"]) async for message in session.results.after(0)])


def tiny() -> Engines:
    return chosen_engines(EngineChoice(whisper_model_size="tiny.en", whisper_cpu_threads=2))


def test_sound_is_the_same_after_its_beginning_is_discarded() -> None:
    sound = LiveSound(16_000)
    for start in range(0, len(KENNEDY), 5_000):
        sound.hear(KENNEDY[start : start + 5_000])
        sound.forget(sound.end_ms - 3_000)
        assert sound.end_ms - sound.start_ms <= 3_000
    span = Span(start_ms=sound.end_ms - 2_000, end_ms=sound.end_ms)
    np.testing.assert_array_equal(sound.cut(span).samples, SOUND.cut(span).samples)


def test_only_the_newest_partial_message_is_sent_and_all_final_ones() -> None:
    async def told() -> list[object]:
        outbox = Outbox(kept=2)
        outbox.put_partial({"is": 1})
        outbox.put_partial({"is": 2})
        first = [await anext(outbox.after(0))]
        for number in range(3):
            outbox.put({"is": f"final {number}"})
        outbox.put_partial({"is": 3})
        outbox.close()
        with pytest.raises(TooSlow):
            await anext(outbox.after(0))
        return [*first, *[message async for message in outbox.after(1)]]

    assert asyncio.run(told()) == [
        {"is": 2, "number": 0},
        {"is": "final 1", "number": 2},
        {"is": "final 2", "number": 3},
        {"is": 3, "number": 3},
    ]
