"""`WS /v1/realtime?intent=transcription`: live speech in the events of OpenAI's API.

Only final words are sent as deltas, so a delta is never corrected.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import secrets
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from sensory_pipeline.core.errors import SensoryError
from sensory_pipeline.gateway.close_frames import close_reason
from sensory_pipeline.gateway.live_messages import TooSlow
from sensory_pipeline.gateway.live_route import LiveSpeech, Refused, received
from sensory_pipeline.gateway.live_sessions import TooManySessions
from sensory_pipeline.gateway.live_stream import Stream
from sensory_pipeline.gateway.openai.errors import error
from sensory_pipeline.gateway.openai.realtime_buffer import Buffer
from sensory_pipeline.gateway.openai.realtime_settings import RealtimeSettings
from sensory_pipeline.gateway.problems import Problem, of_error, refused
from sensory_pipeline.gateway.routes import client_of
from sensory_pipeline.gateway.service import Service

router = APIRouter()

_LEAST_MS = 100  # minimum sound of a commit, as in OpenAI's API
_UPDATES = {"session.update": False, "transcription_session.update": True}  # whether it belongs to the beta API


@router.websocket("/v1/realtime")
async def realtime(websocket: WebSocket) -> None:
    """Transcribe live speech; docs/live.md documents the events."""
    await websocket.accept()
    connection = Connection(websocket)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(connection.run(group))
    except* WebSocketDisconnect:
        pass
    except* Refused as refusals:
        refusal = refusals.exceptions[0]
        assert isinstance(refusal, Refused)
        await connection.close(refusal)


class Connection:
    """The connection of one client."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._service: Service = websocket.app.state.service
        self._speech: LiveSpeech = websocket.app.state.live
        self._limits = self._speech.sessions.limits
        self._name = f"sess_{secrets.token_hex(12)}"
        self._settings = RealtimeSettings()
        self._old = websocket.headers.get("openai-beta") == "realtime=v1"
        self._sending = asyncio.Lock()
        self._buffer: Buffer | None = None
        self._telling: asyncio.Task[None] | None = None
        self._end_ms = 0  # end of all sound received before the buffer
        self._last: str | None = None  # id of the last item

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Handle events until the client disconnects.

        Args:
            group: Runs the tasks of the connection.

        Raises:
            Refused: The connection must be closed.
            WebSocketDisconnect: The client has disconnected.
        """
        if self._websocket.query_params.get("intent") != "transcription":
            raise Refused(4400, "the service only transcribes: connect to /v1/realtime?intent=transcription")
        await self._tell_session("created")
        while True:
            text = await self._received()
            event: Any = None
            try:
                with suppress(ValueError, RecursionError):
                    event = json.loads(text)
                if not isinstance(event, dict):
                    raise refused({"event": "it is not a JSON object"})
                await self._handle(event, group)
            except Problem as problem:
                await self._tell_error(problem, event)
            except SensoryError as failed:
                await self._tell_error(of_error(failed), event)

    async def close(self, refusal: Refused) -> None:
        """Close with the reason. The client may have disconnected, or may not read."""
        with suppress(WebSocketDisconnect, RuntimeError, Refused):
            kind = "server_error" if refusal.code in (1011, 1013) else "invalid_request_error"
            told = {"type": kind, "code": str(refusal.code), "message": refusal.reason, "param": None, "event_id": None}
            await self.send("error", error=told)
            await self._websocket.close(refusal.code, close_reason(refusal.reason))

    async def send(self, kind: str, **fields: Any) -> None:
        """Send an event.

        Args:
            kind: Type of the event.
            fields: Its other fields.

        Raises:
            Refused: The client does not read.
        """
        if self._old and kind == "conversation.item.added":
            kind = "conversation.item.created"
        text = json.dumps({"type": kind, "event_id": f"event_{secrets.token_hex(12)}", **fields}, ensure_ascii=False)
        try:
            async with asyncio.timeout(self._limits.send_s), self._sending:
                await self._websocket.send_text(text)
        except TimeoutError:
            raise Refused(4408, "the client does not read its results") from None

    async def _received(self) -> str:
        while True:
            try:
                async with asyncio.timeout(self._limits.idle_s if self._buffer else None):
                    frame = await received(self._websocket, self._limits)
            except TimeoutError:
                if self._buffer is None or self._buffer.by_client:
                    raise Refused(4408, f"no sound for {self._limits.idle_s:.0f} s: commit it first") from None
                self._end(self._buffer)
                continue
            if isinstance(frame, bytes):
                raise Refused(1003, "events must be text frames, with sound as Base64")
            return frame

    async def _handle(self, event: dict[str, Any], group: asyncio.TaskGroup) -> None:
        match event.get("type"):
            case "input_audio_buffer.append":
                await self._append(event.get("audio"), group)
            case "input_audio_buffer.commit":
                if self._buffer is None or self._buffer.duration_ms < _LEAST_MS:
                    detail = f"the buffer has less than {_LEAST_MS} ms of sound: append more before it is committed"
                    raise Problem(400, "input-audio-buffer-commit-empty", detail)
                await self._buffer.commit()
                self._leave(self._buffer)
            case "input_audio_buffer.clear":
                if self._buffer is not None and self._telling is not None:
                    self._telling.cancel()
                    self._leave(self._buffer)
                await self.send("input_audio_buffer.cleared")
            case "session.update" | "transcription_session.update" as kind:
                await self._update(event.get("session"), old=_UPDATES[kind])
            case other:
                known = "session.update, input_audio_buffer.append, input_audio_buffer.commit, input_audio_buffer.clear"
                raise refused({"type": f"there is no event {str(other)[:64]!r}: send {known}"})

    async def _append(self, audio: Any, group: asyncio.TaskGroup) -> None:
        try:
            sound = base64.b64decode(audio, validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise refused({"audio": "it is not Base64"}) from None
        if self._buffer is None:
            if self._telling is not None:  # finish the committed sound first
                await asyncio.wait({self._telling})
            self._buffer = self._new_buffer(group)
        await self._buffer.append(sound)

    def _new_buffer(self, group: asyncio.TaskGroup) -> Buffer:
        settings, sessions = self._settings, self._speech.sessions
        stream = Stream(
            rate=settings.rate,
            request=settings.request(self._service),
            backlog_s=self._limits.backlog_s,
            pause_ms=settings.pause_ms,
            tells_speech=settings.vad is not None,
        )
        try:
            seat = sessions.begin(secrets.token_urlsafe(24), stream, client_of(self._websocket))
        except TooManySessions as full:
            raise Refused(1013, str(full)) from None
        buffer = Buffer(settings, seat, self.send, start_ms=self._end_ms, before=self._last)
        self._telling = group.create_task(self._tell(buffer))
        self._telling.add_done_callback(lambda _: sessions.leave(seat, for_good=True))
        return buffer

    async def _tell(self, buffer: Buffer) -> None:
        try:
            await buffer.tell()
        except TooSlow:
            raise Refused(4408, "the client does not read its results") from None
        except SensoryError as failed:
            raise Refused(1011, str(failed)) from failed
        self._last = buffer.last

    def _end(self, buffer: Buffer) -> None:
        buffer.end()
        self._leave(buffer)

    def _leave(self, buffer: Buffer) -> None:
        self._end_ms, self._last = buffer.end_ms, buffer.last
        self._buffer = None

    async def _update(self, session: Any, *, old: bool) -> None:
        settings = self._settings.updated(session, old=old)
        settings.request(self._service)  # raises an error if a setting is invalid
        if self._buffer is not None:
            if self._buffer.by_client:
                raise refused(
                    {"session": "it cannot be changed while sound is in the buffer: commit or clear it first"}
                )
            self._end(self._buffer)
        self._settings, self._old = settings, old
        await self._tell_session("updated")

    async def _tell_session(self, change: str) -> None:
        kind = "transcription_session" if self._old else "session"
        await self.send(f"{kind}.{change}", session=self._settings.document(self._name, old=self._old))

    async def _tell_error(self, problem: Problem, event: Any) -> None:
        name = event.get("event_id") if isinstance(event, dict) else None
        await self.send("error", error={**error(problem), "event_id": name if isinstance(name, str) else None})
