"""`WS /v1/ws`: live speech over a WebSocket.

The client sends a text frame with settings, then binary frames of mono PCM16. An empty frame or END_STREAM ends the
stream.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from sensory_pipeline.core.errors import ConfigurationError, PromptTooLong, SensoryError
from sensory_pipeline.core.process_request import ProcessRequest
from sensory_pipeline.gateway.close_frames import close_reason
from sensory_pipeline.gateway.live_messages import Message, TooSlow
from sensory_pipeline.gateway.live_session import LiveSession, TooFast
from sensory_pipeline.gateway.live_sessions import LiveLimits, LiveSessions, Seat, SessionNotFound, TooManySessions
from sensory_pipeline.gateway.live_sound import RATES
from sensory_pipeline.gateway.live_stream import Stream
from sensory_pipeline.gateway.routes import client_of

router = APIRouter()

END_STREAM = "END_STREAM"
_NAME = re.compile(r"[A-Za-z0-9_-]{16,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSpeech:
    """What the route needs of the application, which has it as `app.state.live`.

    Attributes:
        sessions: The live sessions.
        request_of: Makes a request from the first text frame; raises ValueError if the frame is invalid.
    """

    sessions: LiveSessions
    request_of: Callable[[str], ProcessRequest]


class Refused(Exception):
    """The connection must be closed.

    Attributes:
        code: Close code, of RFC 6455 or of this service.
        reason: Reason for the client.
        for_good: Whether the session cannot be resumed.
    """

    def __init__(self, code: int, reason: str, *, for_good: bool = True) -> None:
        super().__init__(reason)
        self.code, self.reason, self.for_good = code, reason, for_good


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The parameters of the address. `after` is the number of the last final message that the client has."""

    rate: int
    name: str
    resumed: bool
    after: int


@router.websocket("/v1/ws")
async def live(websocket: WebSocket) -> None:
    """Transcribe live speech; docs/live.md documents the frames and the close codes."""
    speech: LiveSpeech = websocket.app.state.live
    sessions = speech.sessions
    await websocket.accept()
    try:
        asked = _asked(websocket)
        request = await _settings(websocket, speech)
        try:
            stream = Stream(rate=asked.rate, request=request, backlog_s=sessions.limits.backlog_s)
            if asked.resumed:
                seat = await sessions.resume(asked.name)
            else:
                seat = sessions.begin(asked.name, stream, client_of(websocket))
        except SessionNotFound:
            raise Refused(4404, "this session is over: begin a new one") from None
        except TooManySessions as full:
            raise Refused(1013, str(full)) from None
        for_good = False
        try:
            await _talk(websocket, seat, asked, sessions.limits)
            for_good = True
        except Refused as refused:
            for_good = refused.for_good
            raise
        finally:
            sessions.leave(seat, for_good=for_good)
        await websocket.close(1000)
    except Refused as refused:
        await _close(websocket, refused)
    except WebSocketDisconnect:
        pass


async def _talk(websocket: WebSocket, seat: Seat, asked: _Asked, limits: LiveLimits) -> None:
    """Exchange frames until the session ends. Raises Refused, or WebSocketDisconnect."""
    if asked.resumed:
        await websocket.send_json({"session": seat.name, "received": seat.session.received})
    tasks = [
        asyncio.create_task(_tell(websocket, seat.session, asked.after, limits)),
        asyncio.create_task(_listen(websocket, seat.session, limits)),
        asyncio.create_task(_yield_seat(seat)),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _yield_seat(seat: Seat) -> None:
    await seat.taken.wait()
    raise Refused(4409, "another connection has resumed this session", for_good=False)


async def _tell(websocket: WebSocket, session: LiveSession, after: int, limits: LiveLimits) -> None:
    """Send messages until the session ends."""
    slow = Refused(4408, "the client does not read its results")
    try:
        async for message in session.results.after(after):
            try:
                async with asyncio.timeout(limits.send_s):
                    await websocket.send_text(_text(message))
            except TimeoutError:
                raise slow from None
    except TooSlow:
        raise slow from None
    except (ConfigurationError, PromptTooLong) as error:
        raise Refused(4400, str(error)) from error
    except SensoryError as error:
        raise Refused(1011, str(error)) from error


async def _listen(websocket: WebSocket, session: LiveSession, limits: LiveLimits) -> None:
    """Receive sound until the client disconnects."""
    ended = False
    while True:
        try:
            async with asyncio.timeout(None if ended else limits.idle_s):
                frame = await received(websocket, limits)
        except TimeoutError:
            raise Refused(4408, f"no sound for {limits.idle_s:.0f} s: send silence too", for_good=False) from None
        if ended:
            continue
        if not frame or frame == END_STREAM:
            ended = True
            session.end()
        elif isinstance(frame, str):
            raise Refused(1003, f"a text frame after the settings can only be {END_STREAM}")
        else:
            try:
                session.feed(frame)
            except TooFast:
                reason = (
                    f"sound comes faster than speech: {limits.backlog_s:.0f} s wait; send files to POST /v1/process"
                )
                raise Refused(4429, reason) from None


async def received(websocket: WebSocket, limits: LiveLimits) -> str | bytes:
    """Receive a frame.

    Raises:
        Refused: It is too large.
        WebSocketDisconnect: The client has disconnected.
    """
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1006))
    data = message.get("bytes")
    frame: str | bytes = data if data is not None else str(message.get("text", ""))
    if len(frame) > limits.frame_bytes:
        raise Refused(1009, f"a frame has at most {limits.frame_bytes} bytes")
    return frame


def _asked(websocket: WebSocket) -> _Asked:
    given = websocket.query_params
    rate, after = given.get("sample_rate", "16000"), given.get("after", "0")
    name = given.get("resume") or given.get("session") or secrets.token_urlsafe(24)
    if rate not in map(str, RATES):
        raise Refused(4400, f"sample_rate must be one of {', '.join(map(str, RATES))}")
    if not (after.isascii() and after.isdecimal() and len(after) < 10):
        raise Refused(4400, "after must be the number of the last message received")
    if not _NAME.fullmatch(name):
        raise Refused(4400, "the name of a session must be 16 to 64 random letters and digits")
    return _Asked(rate=int(rate), name=name, resumed="resume" in given, after=int(after))


async def _settings(websocket: WebSocket, speech: LiveSpeech) -> ProcessRequest:
    try:
        async with asyncio.timeout(speech.sessions.limits.idle_s):
            frame = await received(websocket, speech.sessions.limits)
    except TimeoutError:
        raise Refused(4408, "no settings were received") from None
    if isinstance(frame, bytes):
        raise Refused(1003, 'the first frame is text: {"settings": {...}}')
    try:
        return speech.request_of(frame)
    except ValueError as error:
        raise Refused(4400, str(error)) from error


async def _close(websocket: WebSocket, refused: Refused) -> None:
    """Close with the reason. The client may have disconnected, or may not read."""
    with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
        async with asyncio.timeout(1):
            await websocket.send_text(_text({"error": refused.reason}))
            await websocket.close(refused.code, close_reason(refused.reason))


def _text(message: Message | dict[str, Any]) -> str:
    return json.dumps(message, ensure_ascii=False)
