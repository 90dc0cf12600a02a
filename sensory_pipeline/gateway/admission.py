"""Admission control: a fair queue of requests, limited by seconds of audio."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sensory_pipeline.core.fair_queue import FairQueue, Ticket
from sensory_pipeline.gateway.problems import Problem, busy

AT_ONCE = 16
"""Maximum number of recordings in the engines of a device at once; enough to fill a batch with short recordings."""
LONG_S = 120.0
"""A recording of more seconds is long."""
_GUESSED_SPEED = 5.0  # seconds of audio per second, until a speed is measured
_MEASURED = 20  # recordings whose mean is the measured speed


class Admission:
    """The queue for the engines, for one event loop.

    Recordings wait in it once they are decoded, because their length decides their turn. Clips of live speech, and
    background jobs in lake mode, do not pass through it.

    Args:
        limit_s: Maximum seconds of audio that may wait.
        long_places: Maximum number of long recordings in the engines at once.
        devices: Number of devices that the engines are on.
    """

    def __init__(self, *, limit_s: float, long_places: int, devices: int = 1) -> None:
        self.queue = FairQueue(places=AT_ONCE * devices, long_places=long_places, long_s=LONG_S)
        self.closed = False
        self._limit_s = limit_s
        self._turns: dict[Ticket, asyncio.Future[None]] = {}
        self._speeds: deque[float] = deque(maxlen=_MEASURED)
        self._background_s = 0.0

    def check(self, audio_s: float = 0) -> None:
        """Check that the queue has room for another request. Background jobs do not count.

        Args:
            audio_s: Seconds of audio of the request.

        Raises:
            Problem: The queue is full, or the service is stopping.
        """
        if self.closed:
            raise busy("stopping", "the service is stopping: send it again in a few seconds", 10, 503)
        waiting_s = self.queue.waiting_s - self._background_s
        if waiting_s and waiting_s + audio_s > self._limit_s:
            after_s = self.retry_after_s()
            raise busy(
                "queue-full",
                f"{waiting_s / 3600:.1f} hours of audio are waiting: send it again in {after_s:.0f} s, or as a "
                "background job (async_process)",
                after_s,
            )

    def retry_after_s(self) -> float:
        """Estimated seconds until half of the waiting audio is done."""
        speed = sum(self._speeds) / len(self._speeds) if self._speeds else _GUESSED_SPEED
        return min(600.0, max(1.0, self.queue.waiting_s / 2 / speed))

    @asynccontextmanager
    async def turn(self, client: str, audio_s: float, *, background: bool = False) -> AsyncIterator[float]:
        """Wait for a place in the engines and hold it for the duration of the `with` block.

        Args:
            client: Name of the client; clients take turns.
            audio_s: Seconds of audio of the recording.
            background: Whether this is a background job, which the limit does not apply to.

        Yields:
            The seconds spent waiting.

        Raises:
            Problem: The queue is full, or the service is stopping.
        """
        if not background:
            self.check(audio_s)
        began = time.monotonic()
        # background jobs count as another client's, so that they do not delay the client's other requests
        name = f"{client} background" if background else client
        ticket = Ticket(client=name, audio_s=audio_s, arrived_s=began)
        self._turns[ticket] = asyncio.get_running_loop().create_future()
        waiting_s = audio_s if background else 0.0
        self.queue.add(ticket)
        self._background_s += waiting_s
        try:
            self._next()
            try:
                await self._turns[ticket]
            finally:
                self._background_s -= waiting_s
            started = time.monotonic()
            yield started - began
            self._speeds.append(self.queue.at_work * audio_s / max(0.01, time.monotonic() - started))
        finally:
            del self._turns[ticket]
            self.queue.done(ticket)
            self._next()

    def close(self) -> None:
        """Refuse new requests and those that wait."""
        self.closed = True
        for turn in self._turns.values():
            if not turn.done():
                turn.set_exception(busy("stopping", "the service is stopping: send it again in a few seconds", 10, 503))

    def _next(self) -> None:
        while not self.closed and (ticket := self.queue.take()):
            turn = self._turns[ticket]
            if not turn.done():
                turn.set_result(None)


def too_late(limit_s: float) -> Problem:
    """The problem of a request that took longer than `limit_s` seconds."""
    return Problem(
        504,
        "deadline",
        f"it was not done within {limit_s:.0f} s: send it as a background job (async_process)",
    )
