"""All live sessions of this process: how many there may be, and those that wait for their client to come back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sensory_pipeline.core.requests import ProcessRequest
from sensory_pipeline.gateway.live_engines import LiveEngines
from sensory_pipeline.gateway.live_session import LiveSession, Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveLimits:
    """What live sessions may take.

    Attributes:
        sessions: At once.
        backlog_s: Seconds of sound that a session may be ahead of the engines.
        idle_s: Seconds without a frame after which a client counts as gone.
        send_s: Seconds in which a client has to take a message.
        resume_s: Seconds that a session waits for a client whose connection broke.
        frame_bytes: Of one frame.
    """

    sessions: int = 16
    backlog_s: float = 60
    idle_s: float = 60
    send_s: float = 20
    resume_s: float = 30
    frame_bytes: int = 1 << 20


class Full(Exception):
    """There are as many sessions as there may be."""


class InUse(Exception):
    """A client is connected to the session."""


@dataclass(slots=True)
class _Held:
    session: LiveSession
    running: asyncio.Task[None]
    rate: int
    leaving: asyncio.TimerHandle | None = None


class LiveSessions:
    """All of it in one event loop."""

    def __init__(self, engines: LiveEngines, limits: LiveLimits) -> None:
        self.limits = limits
        self._engines = engines
        self._held: dict[str, _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def entered(self, name: str, rate: int, request: ProcessRequest) -> tuple[LiveSession, bool]:
        """The session of that name, a new one unless it waits for its client. Its client has to leave it.

        Returns:
            The session, and whether it is resumed.

        Raises:
            InUse: Its client is there, or it has another sample rate.
            Full: There may be no more.
        """
        held = self._held.get(name)
        if held is not None:
            if held.leaving is None or held.rate != rate:
                raise InUse
            held.leaving.cancel()
            held.leaving = None
            return held.session, True
        if len(self._held) >= self.limits.sessions:
            raise Full
        session = LiveSession(Stream(rate=rate, request=request, backlog_s=self.limits.backlog_s), self._engines)
        self._held[name] = _Held(session, asyncio.create_task(session.run()), rate)
        return session, False

    def left(self, name: str, *, for_good: bool) -> None:
        """Its client is gone. for_good: it will not be back."""
        if for_good:
            self._end(name)
        else:
            loop = asyncio.get_running_loop()
            self._held[name].leaving = loop.call_later(self.limits.resume_s, self._end, name)

    def close(self) -> None:
        """End all."""
        for name in list(self._held):
            self._end(name)

    def _end(self, name: str) -> None:
        held = self._held.pop(name)
        if held.leaving is not None:
            held.leaving.cancel()
        held.running.cancel()
