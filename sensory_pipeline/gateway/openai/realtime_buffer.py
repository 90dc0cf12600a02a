"""The audio buffer of a realtime connection: one live session, and its events for the client."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from sensory_pipeline.audio import g711
from sensory_pipeline.gateway.live_messages import Message
from sensory_pipeline.gateway.live_sessions import Seat
from sensory_pipeline.gateway.openai.realtime_settings import RealtimeSettings

Send = Callable[..., Awaitable[None]]
"""Sends an event, given its type and its fields as keyword arguments."""
_TRANSCRIPTION = "conversation.item.input_audio_transcription"


@dataclass(slots=True, kw_only=True)
class Item:
    """The speech between two commits.

    Attributes:
        before: Id of the previous item.
        start_ms: Start in the sound of the connection, in milliseconds.
        text: The final text so far.
        failed: Whether a part could not be transcribed.
        name: Id of the item.
    """

    before: str | None
    start_ms: int = 0
    text: str = ""
    failed: bool = False
    name: str = field(default_factory=lambda: f"item_{secrets.token_hex(12)}")


class Buffer:
    """The audio buffer.

    Args:
        settings: Settings of the connection.
        seat: The connection's hold on a live session.
        send: Sends an event to the client.
        start_ms: Start of the buffer in the sound of the connection, in milliseconds.
        before: Id of the last item before the buffer.

    Attributes:
        last: Id of the last item.
    """

    def __init__(
        self, settings: RealtimeSettings, seat: Seat, send: Send, *, start_ms: int = 0, before: str | None = None
    ) -> None:
        self._settings = settings
        self._seat = seat
        self._send = send
        self._start_ms = start_ms
        self._due = False  # whether a commit requires an item
        self.last = before
        self._item = None if settings.vad else Item(before=before, start_ms=start_ms)

    @property
    def end_ms(self) -> int:
        """Current end in the sound of the connection, in milliseconds."""
        return self._start_ms + self._seat.session.received * 1000 // (2 * self._settings.rate)

    @property
    def duration_ms(self) -> int:
        """Current length in milliseconds."""
        return self.end_ms - self._start_ms

    @property
    def by_client(self) -> bool:
        """Whether the client, not the service, decides when speech ends."""
        return self._settings.vad is None

    async def append(self, data: bytes) -> None:
        """Add sound in the format of the connection; waits until there is room."""
        law = self._settings.law
        await self._seat.session.take(g711.expanded(data, law) if law else data)

    async def commit(self) -> None:
        """End the sound and make an item of it."""
        self._due = True
        if self._item is not None and self.by_client:
            await self._added(self._item)
        self._seat.session.end()

    def end(self) -> None:
        """End the sound."""
        self._seat.session.end()

    async def tell(self) -> None:
        """Send all events of the session. Raises the errors of `Outbox.after`."""
        async for message in self._seat.session.results.after(0):
            await self._told(message)
        if self._item is None and self._due:  # the committed sound has no speech
            self._item = Item(before=self.last, start_ms=self._start_ms)
        if self._item is not None:
            if self._due or not self.by_client:
                await self._added(self._item)
            await self._completed(self._item, self.end_ms)

    async def _told(self, message: Message) -> None:
        if message.get("speech") == "started":
            start_ms = self._start_ms + message["at_ms"]
            self._item = Item(before=self.last, start_ms=start_ms)
            await self._send("input_audio_buffer.speech_started", audio_start_ms=start_ms, item_id=self._item.name)
        elif message.get("speech") == "stopped" and (item := self._item) is not None:
            end_ms = self._start_ms + message["at_ms"]
            self._item = None
            await self._send("input_audio_buffer.speech_stopped", audio_end_ms=end_ms, item_id=item.name)
            await self._added(item)
            await self._completed(item, end_ms)
        elif (item := self._item) is not None and "error" in message:
            item.failed = True
            error = {"type": "server_error", "code": "failed", "message": message["error"], "param": None}
            await self._send(f"{_TRANSCRIPTION}.failed", item_id=item.name, content_index=0, error=error)
        elif item is not None and message.get("words"):
            blank = " " if item.text and message["words"][0]["word"].startswith(" ") else ""
            delta = blank + message["text"]
            item.text += delta
            await self._send(f"{_TRANSCRIPTION}.delta", item_id=item.name, content_index=0, delta=delta)

    async def _added(self, item: Item) -> None:
        self.last, self._due = item.name, False
        await self._send("input_audio_buffer.committed", item_id=item.name, previous_item_id=item.before)
        content = [{"type": "input_audio", "transcript": None}]
        document: dict[str, Any] = {
            "id": item.name,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
        }
        document |= {"role": "user", "content": content}
        await self._send("conversation.item.added", previous_item_id=item.before, item=document)

    async def _completed(self, item: Item, end_ms: int) -> None:
        if not item.failed:
            usage = {"type": "duration", "seconds": (end_ms - item.start_ms) / 1000}
            await self._send(
                f"{_TRANSCRIPTION}.completed", item_id=item.name, content_index=0, transcript=item.text, usage=usage
            )
