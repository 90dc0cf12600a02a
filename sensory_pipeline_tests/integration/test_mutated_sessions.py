"""Live sessions that break the protocol: each ends with a close code and a reason, and the service continues."""

from __future__ import annotations

import json
import logging
import multiprocessing
import random
import socket
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close, Frame, Opcode
from websockets.sync.client import ClientConnection, connect

from bench.processes import children_mb
from sensory_pipeline_tests.gateway_server import gateway
from sensory_pipeline_tests.kennedy import KENNEDY
from sensory_pipeline_tests.live_server import SETTINGS, connected, last_word, messages, send
from sensory_pipeline_tests.mutations import changed

SESSIONS = 30
GROWTH_MB = 200.0
"""Beyond what the service has after a third of the sessions; some of them still wait for their clients then."""
HANGS_S = 60.0
LARGEST = 1 << 20
"""Bytes of a frame."""
WITHOUT_REASON = (1000, 1007)
"""Codes that say it all: a normal end, and text that is not UTF-8."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A frame, as its kind says or not."""

    data: bytes
    is_text: bool


SOUND = KENNEDY[: 2 * 16_000 * 2]
WELL_FORMED = (
    Sent(json.dumps(SETTINGS).encode(), True),
    *(Sent(SOUND[start : start + 9_600], False) for start in range(0, len(SOUND), 9_600)),
    Sent(b"", False),
)
TEXTS = (
    b"END_STREAM",
    b"{",
    b"[" * 100_000,
    b'{"settings": NaN}',
    b'{"settings": {"tasks": ["transcribe"], "\\ud800": 1}}',
    b'{"settings": {"tasks": ["diarization"], "dia": {"stereo_mode": true}}}',
    b'{"settings": {"tasks": ["emotion"], "emo": {"analysis_level": "speaker"}}}',
    b'{"settings": {"tasks": ["transcribe"], "tra": {"temperature": 1e999}}}',
)
QUERIES = (
    *("?sample_rate=8000", "?sample_rate=24000", "?sample_rate=0", "?after=7", "?after=99999999999"),
    *("?resume=a-session-that-never-was", "?session=%00%ff%fe", "?session=the-same-for-everybody", "?resume=&x"),
)


def test_mutated_sessions_end_with_a_reason_and_the_service_continues(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, soak: bool
) -> None:
    count = 2_000 if soak else SESSIONS
    bad: dict[str, str] = {}
    codes: Counter[int | None] = Counter()
    memory_mb: list[float] = []
    with (
        gateway(tmp_path / "spool", engines=last_word, live_sessions=count) as service,
        ThreadPoolExecutor(4) as threads,
    ):
        service.wait_until_ready()
        engines = set(multiprocessing.active_children())
        address = service.url.replace("http", "ws")

        def session(seed: int) -> tuple[Close | None, bool]:
            return talk(address, random.Random(seed))

        for seed, (end, told) in enumerate(threads.map(session, range(count))):
            codes[end.code if end else None] += 1
            if told and (end is None or not (end.reason or end.code in WITHOUT_REASON)):
                bad[f"seed {seed}"] = repr(end)
            if (seed + 1) % (count // 6) == 0:
                memory_mb.append(psutil.Process().memory_info().rss / 1e6 + children_mb())
        with connected(address) as client:
            send(client, KENNEDY)
            client.send(b"")
            assert [message for message in messages(client) if message["words"]]
            assert client.close_code == 1000
        assert service.http.get("/health/ready").status_code == 200
        assert set(multiprocessing.active_children()) == engines
    assert bad == {}
    assert {1000, 1003, 4400} <= set(codes)
    assert memory_mb[-1] < memory_mb[1] + GROWTH_MB
    assert "Traceback" not in capsys.readouterr().out
    errors = [record for record in caplog.records if record.levelname == "ERROR" and "client" not in record.name]
    assert [record.getMessage() for record in errors if not is_of_bad_text(record)] == []


def is_of_bad_text(record: logging.LogRecord) -> bool:
    """Whether it is uvicorn's, about text that is not UTF-8; the exception is about closing, if that had begun."""
    error = record.exc_info[1] if record.exc_info else None
    return any(isinstance(one, UnicodeDecodeError) for one in (error, error and error.__context__))


def talk(address: str, rng: random.Random) -> tuple[Close | None, bool]:
    """One session: how the service ended it, and whether it had the chance to say so."""
    query = rng.choice(QUERIES) if rng.random() < 0.2 else ""
    with connect(f"{address}/v1/ws{query}", proxy=None, max_queue=None) as client:
        match rng.randrange(10):
            case 0 | 1 | 2:
                send_raw(client, rng)
                return closing(client), False
            case 3 | 4:
                send_all(client, disordered(rng)[: rng.randrange(len(WELL_FORMED))])
                hang_up(client, rng)
                return None, False
            case _:
                frames = disordered(rng)
                send_all(client, (*frames, Sent(b"", False)))
                return closing(client), all(map(is_text, frames))


def disordered(rng: random.Random) -> list[Sent]:
    """The frames of a session after one to four changes."""
    frames = list(WELL_FORMED)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(frames))
        one = frames[place]
        match rng.randrange(8):
            case 0 if place:
                del frames[place - 1]
            case 1:
                frames[place:place] = [one] * rng.choice((1, 2, 50))
            case 2:
                other = rng.randrange(len(frames))
                frames[place], frames[other] = frames[other], one
            case 3:
                frames[place] = Sent(
                    changed(one.data, [frame.data for frame in WELL_FORMED if frame.data], rng), one.is_text
                )
            case 4:
                frames[place] = Sent(one.data, not one.is_text)
            case 5:
                frames[place] = Sent(rng.choice(TEXTS), True)
            case 6:
                garbage = rng.randbytes(rng.choice((1, 3, 1_001, 100_000)))
                frames.insert(place, Sent(garbage, rng.random() < 0.2))
            case _:
                size = LARGEST + rng.choice((-1, 0, 1, 2, LARGEST))
                frames.insert(place, Sent(bytes(size), rng.random() < 0.2))
    return frames


def is_text(frame: Sent) -> bool:
    """Whether a text frame is UTF-8. One that is not may end the connection before the client can read why."""
    try:
        frame.data.decode()
    except UnicodeDecodeError:
        return not frame.is_text
    return True


def send_all(client: ClientConnection, frames: Sequence[Sent]) -> None:
    with suppress(ConnectionClosed):  # by a service that has seen enough
        for frame in frames:
            client.send(frame.data, text=frame.is_text)


def send_raw(client: ClientConnection, rng: random.Random) -> None:
    """A session whose bytes are mutated, frames' headers included, and no more after it."""
    stream = b"".join(
        Frame(Opcode.TEXT if frame.is_text else Opcode.BINARY, frame.data).serialize(mask=True) for frame in WELL_FORMED
    )
    with suppress(OSError):
        client.socket.sendall(changed(stream, [stream], rng))
        client.socket.shutdown(socket.SHUT_WR)


def hang_up(client: ClientConnection, rng: random.Random) -> None:
    """In one of the ways that clients do."""
    match rng.randrange(3):
        case 0:
            client.close()
        case 1:
            client.close(4999, "bye")
        case _:
            client.socket.close()


def closing(client: ClientConnection) -> Close | None:
    """The code and reason that the service closes with; None if it just ends the connection."""
    try:
        while True:
            json.loads(client.recv(timeout=HANGS_S))
    except ConnectionClosed as closed:
        return closed.rcvd
