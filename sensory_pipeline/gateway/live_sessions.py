"""All live sessions of this process, including those that wait for their client to reconnect."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from sensory_pipeline.gateway.client_limits import ClientLimits
from sensory_pipeline.gateway.live_engines import LiveEngines
from sensory_pipeline.gateway.live_session import LiveSession
from sensory_pipeline.gateway.live_stream import Stream
from sensory_pipeline.gateway.problems import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveLimits:
    """Limits of live sessions.

    Attributes:
        sessions: Maximum number of sessions at once.
        backlog_s: Maximum seconds of sound of a session that may wait for the engines.
        idle_s: Seconds without a frame after which a connection is closed.
        send_s: Maximum seconds to send a message to a client.
        resume_s: Seconds that a session waits for its client to reconnect.
        frame_bytes: Maximum size of a frame in bytes.
    """

    sessions: int = 16
    backlog_s: float = 60
    idle_s: float = 60
    send_s: float = 20
    resume_s: float = 30
    frame_bytes: int = 1 << 20


class TooManySessions(Exception):
    """The maximum number of sessions is reached; the message is for the client."""


class SessionNotFound(Exception):
    """There is no such session, or it has ended."""


@dataclass(slots=True, eq=False)
class Seat:
    """A connection's hold on a session.

    Attributes:
        name: Name of the session.
        session: The session.
        taken: Set when another connection of the client wants to resume the session.
        left: Set when this connection has left the session.
    """

    name: str
    session: LiveSession
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class _Held:
    client: str
    session: LiveSession
    running: asyncio.Task[None]
    seat: Seat | None = None
    leaving: asyncio.TimerHandle | None = None


class LiveSessions:
    """The live sessions, in one event loop.

    Args:
        engines: Transcribes and classifies clips.
        limits: Limits of the sessions.
        clients: Limits of the clients; a session takes a place of its client until it ends.
    """

    def __init__(self, engines: LiveEngines, limits: LiveLimits, clients: ClientLimits) -> None:
        self.limits = limits
        self._clients = clients
        self._engines = engines
        self._held: dict[str, _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def begin(self, name: str, stream: Stream, client: str) -> Seat:
        """Begin a session.

        Args:
            name: Name of the session; a secret of its client.
            stream: Parameters of the stream.
            client: Name of the client.

        Raises:
            TooManySessions: The maximum number of sessions is reached, of all clients or of this one, or the name is in
                use.
        """
        if len(self._held) >= self.limits.sessions or name in self._held:
            raise TooManySessions("all live sessions are in use: try again later")
        session = LiveSession(stream, self._engines)
        try:
            self._clients.enter(client)
        except Problem as problem:
            raise TooManySessions(problem.detail) from problem
        seat = Seat(name, session)
        self._held[name] = _Held(client, session, asyncio.create_task(session.run()), seat)
        return seat

    async def resume(self, name: str) -> Seat:
        """Resume a session. If another connection still holds it, that connection is closed first.

        Raises:
            SessionNotFound: There is no such session, or it has ended.
        """
        held = self._held.get(name)
        while held is not None and (before := held.seat) is not None:
            before.taken.set()
            await before.left.wait()
            held = self._held.get(name)
        if held is None:
            raise SessionNotFound
        if held.leaving is not None:
            held.leaving.cancel()
            held.leaving = None
        held.seat = Seat(name, held.session)
        return held.seat

    def leave(self, seat: Seat, *, for_good: bool) -> None:
        """Leave a session.

        Args:
            seat: The connection's hold on the session.
            for_good: Whether to end the session at once instead of waiting for the client to reconnect.
        """
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
        """End all sessions."""
        for name in list(self._held):
            self._end(name)

    def _end(self, name: str) -> None:
        held = self._held.pop(name)
        if held.leaving is not None:
            held.leaving.cancel()
        held.running.cancel()
        self._clients.leave(held.client)
