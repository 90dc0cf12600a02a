"""A client for live speech: sends sound while it is spoken and receives words."""

from __future__ import annotations

import json
import secrets
import time
import wave
from collections.abc import Iterable, Iterator
from os import PathLike
from threading import Event, Thread
from typing import Any, Unpack
from urllib.parse import urlsplit, urlunsplit

import stamina
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from sensory_pipeline.client.calls import Options, checked, headers, settings
from sensory_pipeline.client.errors import ServiceError, StreamLost
from sensory_pipeline.client.results import LiveMessage
from sensory_pipeline.client.sent_sound import SentSound

RATES = (8_000, 16_000, 24_000)
"""Sample rates in Hz that the service accepts."""
CHUNK_S = 0.1
"""Seconds of a file that are sent at once."""
_RESUME_S = 30.0
_OURS = range(4000, 5000)
_REFUSALS = frozenset({1003, 1008, 1009, 1011, 1013})


class StreamingClient:
    """Sends a stream of PCM16, mono; restores a broken connection within half a minute."""

    def __init__(self, url: str, *, key: str | None = None, rate: int = 16_000) -> None:
        """Describe the service; each stream makes its own connection.

        Args:
            url: URL of the service, such as http://host:8001.
            key: Key for the service, if it requires one.
            rate: Sample rate of the sound in Hz: 8000, 16000 or 24000.

        Raises:
            ValueError: The rate is another.
            ServiceError: The URL has no http:// or https://.
        """
        if rate not in RATES:
            raise ValueError(f"sound can have {', '.join(map(str, RATES))} Hz, not {rate}: resample it")
        scheme, host, path, *_ = urlsplit(checked(url, "http", "https", "ws", "wss"))
        self._address = urlunsplit(("wss" if scheme in ("https", "wss") else "ws", host, path.rstrip("/"), "", ""))
        self._headers = headers(key)
        self._rate = rate

    def stream(self, chunks: Iterable[bytes], **options: Unpack[Options]) -> Iterator[LiveMessage]:
        """Send chunks as they come, for example from a microphone, and yield the messages of the service.

        Args:
            chunks: PCM16, mono, at the client's rate.
            options: What to find out.

        Yields:
            Words and emotions, until the service has processed all sound.

        Raises:
            ServiceError: The service refused the stream; its close code is the status.
            StreamLost: The connection broke and could not be restored.
        """
        sound = SentSound(chunks)
        name, after, resumed = secrets.token_urlsafe(24), 0, False
        first = json.dumps({"settings": settings(options)})
        try:
            while True:
                query = f"resume={name}&after={after}" if resumed else f"session={name}"
                with self._connection(f"sample_rate={self._rate}&{query}", resumed=resumed) as connection:
                    try:
                        connection.send(first)
                        for message in self._talk(connection, sound, resumed=resumed):
                            after = message.get("number", after)
                            yield message
                        if sound.error is not None:
                            raise sound.error
                        return
                    except ConnectionClosed as closed:
                        _raise_refusal(closed)
                resumed = True
        finally:
            sound.close()

    def stream_file(
        self, path: str | PathLike[str], *, real_time: bool = True, **options: Unpack[Options]
    ) -> Iterator[LiveMessage]:
        """Send a WAVE file like `stream`.

        Args:
            path: WAVE file of PCM16, mono, at the client's rate.
            real_time: Whether to send it no faster than it was spoken.
            options: What to find out.

        Yields:
            Words and emotions, until the service has processed all sound.

        Raises:
            ValueError: The file has another format.
            ServiceError: The service refused the stream; its close code is the status.
            StreamLost: The connection broke and could not be restored.
        """
        return self.stream(paced(wave_chunks(path, self._rate), self._rate, real_time=real_time), **options)

    def _connection(self, query: str, *, resumed: bool) -> ClientConnection:
        address = f"{self._address}/v1/ws?{query}"
        try:
            for attempt in stamina.retry_context(on=OSError, attempts=None if resumed else 3, timeout=_RESUME_S):
                with attempt:
                    return connect(address, additional_headers=self._headers, max_queue=None)
        except (OSError, InvalidStatus) as error:
            kind = StreamLost if resumed else ServiceError
            raise kind(None, f"{self._address} does not answer: {error}") from error
        raise AssertionError  # the last attempt returns or raises

    def _talk(self, connection: ClientConnection, sound: SentSound, *, resumed: bool) -> Iterator[LiveMessage]:
        """Send and receive until the service closes the connection; raise ConnectionClosed if it broke."""
        if resumed:
            sound.back_to(json.loads(connection.recv())["received"])
        over = Event()
        sending = Thread(target=_send, args=(connection, sound, over), name="live sound", daemon=True)
        sending.start()
        try:
            for data in connection:
                yield LiveMessage(json.loads(data))
        finally:
            over.set()
            sound.wake()
            sending.join()
        if connection.close_code != 1000:
            raise ConnectionClosed(connection.protocol.close_rcvd, None)


def wave_chunks(path: str | PathLike[str], rate: int) -> Iterator[bytes]:
    """Yield the sound of a WAVE file, CHUNK_S seconds at a time.

    Args:
        path: The file.
        rate: Sample rate in Hz.

    Raises:
        ValueError: The file is not PCM16, mono, at this rate.
    """
    try:
        with wave.open(str(path)) as file:
            if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, rate):
                raise ValueError(f"{path} is not PCM16, mono, at {rate} Hz: convert it")
            while data := file.readframes(round(rate * CHUNK_S)):
                yield data
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path} is not a WAVE file ({error}): convert it") from error


def paced(chunks: Iterable[bytes], rate: int, *, real_time: bool = True) -> Iterator[bytes]:
    """Yield each chunk of PCM16 at the time at which it would have been spoken.

    Args:
        chunks: The chunks, mono.
        rate: Sample rate in Hz.
        real_time: Whether to wait at all.
    """
    began, spoken_s = time.monotonic(), 0.0
    for chunk in chunks:
        spoken_s += len(chunk) / 2 / rate
        if real_time:
            time.sleep(max(0.0, began + spoken_s - time.monotonic()))
        yield chunk


def _send(connection: ClientConnection, sound: SentSound, over: Event) -> None:
    try:
        while (chunk := sound.next(over)) is not None:
            connection.send(chunk)
        if not over.is_set():
            connection.send(b"")
    except ConnectionClosed:  # the reading side reports it
        pass


def _raise_refusal(closed: ConnectionClosed) -> None:
    """Raise ServiceError if the service closed the connection on purpose."""
    frame: Any = closed.rcvd
    if frame is not None and (frame.code in _OURS or frame.code in _REFUSALS):
        raise ServiceError(frame.code, frame.reason or "the service closed the stream") from closed
