"""A server of live speech on loopback, and clients that speak to it frame by frame."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import replace
from functools import partial
from threading import Thread
from typing import Any

import uvicorn
from fastapi import FastAPI
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from sensory_pipeline.core.errors import Terminal
from sensory_pipeline.core.process_request import ProcessRequest, Task, TranscriptionSettings
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.engines.base import TranscribeJob
from sensory_pipeline.engines.selection import EngineFactory, Engines
from sensory_pipeline.gateway.client_limits import ClientLimits
from sensory_pipeline.gateway.live_engines import LiveEngines
from sensory_pipeline.gateway.live_route import LiveSpeech, router
from sensory_pipeline.gateway.live_sessions import LiveLimits, LiveSessions
from sensory_pipeline.processing.workers.future_executor import EngineExecutor
from sensory_pipeline.processing.workers.pool import EnginePool
from sensory_pipeline_tests.trivial_engines import TrivialTranscriber, trivial

SETTINGS: dict[str, Any] = {"settings": {"tasks": ["transcribe"]}}
Message = dict[str, Any]


class LastWord(TrivialTranscriber):
    """Hears one word in a clip, at its end: how many milliseconds it heard."""

    def _answers(self, batch: list[TranscribeJob]) -> Iterator[tuple[str, Transcript | Terminal]]:
        for key, answer in super()._answers(batch):
            assert isinstance(answer, Transcript)
            (word,) = answer.words
            end_ms = word.span.end_ms
            last = replace(word, span=Span(start_ms=max(0, end_ms - 200), end_ms=end_ms))
            yield key, replace(answer, segments=(replace(answer.segments[0], words=(last,)),))


def last_word() -> Engines:
    return replace(trivial(), transcriber=LastWord())


def slow_last_word() -> Engines:
    return replace(trivial(), transcriber=LastWord(pause_s=1))


def alone(factory: EngineFactory) -> list[Engines]:
    return [factory()]


@contextmanager
def executor(factory: EngineFactory) -> Iterator[EngineExecutor]:
    factories = {"cpu": partial(alone, factory)}
    with EngineExecutor(EnginePool(factories, size=1, memory_mb=4096, threads=2)) as running:
        yield running


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The address, as in ws://127.0.0.1:1234."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1))
    with closing(server.config.bind_socket()) as socket:
        thread = Thread(target=server.run, kwargs={"sockets": [socket]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield f"ws://127.0.0.1:{socket.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def live_server(shared: EngineExecutor, **limits: Any) -> Iterator[str]:
    """The address of a server whose settings frame names tasks and a language."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with (
            closing(LiveEngines(shared)) as engines,
            closing(LiveSessions(engines, LiveLimits(**limits), ClientLimits())) as sessions,
        ):
            app.state.live = LiveSpeech(sessions=sessions, request_of=request_of)
            yield

    app = FastAPI(lifespan=lifespan)
    app.include_router(router)
    with served(app) as address:
        yield address


def request_of(text: str) -> ProcessRequest:
    settings = json.loads(text)["settings"]
    tasks = frozenset(map(Task, settings["tasks"]))
    return ProcessRequest(tasks=tasks, tra=TranscriptionSettings(**settings.get("tra", {})))


@contextmanager
def connected(address: str, query: str = "", settings: Message = SETTINGS) -> Iterator[ClientConnection]:
    with connect(f"{address}/v1/ws{query}", proxy=None) as client:
        client.send(json.dumps(settings))
        yield client


def send(client: ClientConnection, sound: bytes, frame_bytes: int = 16_000) -> None:
    for start in range(0, len(sound), frame_bytes):
        client.send(sound[start : start + frame_bytes])


def messages(client: ClientConnection) -> list[Message]:
    """All until the server closes."""
    return [json.loads(message) for message in client]


def closing_of(client: ClientConnection) -> tuple[int, str, list[Message]]:
    """The code and reason that the server closes with, and what it said before."""
    said: list[Message] = []
    try:
        while True:
            said.append(json.loads(client.recv(timeout=20)))
    except ConnectionClosed as closed:
        assert closed.rcvd is not None
        return closed.rcvd.code, closed.rcvd.reason, said
