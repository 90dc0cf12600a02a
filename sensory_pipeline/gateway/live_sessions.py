"""All live sessions of this process: how many there may be, and those that wait for their client to come back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

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


class Gone(Exception):
    """There is no such session, or not any more."""


@dataclass(slots=True, eq=False)
class Seat:
    """A client's place at a session. taken: set when another connection of the client takes it; left: once it has."""

    name: str
    session: LiveSession
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class _Held:
    session: LiveSession
    running: asyncio.Task[None]
    seat: Seat | None = None
    leaving: asyncio.TimerHandle | None = None


class LiveSessions:
    """All of it in one event loop."""

    def __init__(self, engines: LiveEngines, limits: LiveLimits) -> None:
        self.limits = limits
        self._engines = engines
        self._held: dict[str, _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def begin(self, name: str, stream: Stream) -> Seat:
        """A seat at a new session of that name, which only its client knows. Raises Full."""
        if len(self._held) >= self.limits.sessions or name in self._held:
            raise Full
        session = LiveSession(stream, self._engines)
        seat = Seat(name, session)
        self._held[name] = _Held(session, asyncio.create_task(session.run()), seat)
        return seat

    async def resume(self, name: str) -> Seat:
        """A seat at a session that was begun, also where its connection is not known to be broken. Raises Gone."""
        held = self._held.get(name)
        while held is not None and (before := held.seat) is not None:
            before.taken.set()
            await before.left.wait()
            held = self._held.get(name)
        if held is None:
            raise Gone
        if held.leaving is not None:
            held.leaving.cancel()
            held.leaving = None
        held.seat = Seat(name, held.session)
        return held.seat

    def leave(self, seat: Seat, *, for_good: bool) -> None:
        """Its client is gone. for_good: it will not be back."""
        seat.left.set()
        held = self._held.get(seat.name)
        if held is None or held.seat is not seat:
            return
        held.seat = None
        if for_good:
            self._end(seat.name)
        else:
            held.leaving = asyncio.get_running_loop().call_later(self.limits.resume_s, self._end, seat.name)

    def close(self) -> None:
        """End all."""
        for name in list(self._held):
            self._end(name)

    def _end(self, name: str) -> None:
        held = self._held.pop(name)
        if held.leaving is not None:
            held.leaving.cancel()
        held.running.cancel()
