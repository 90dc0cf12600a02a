"""The audio buffer of a realtime connection: one live session, and what its client is told of it."""

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
"""Send an event: its type, then its fields by name."""
_TRANSCRIPTION = "conversation.item.input_audio_transcription"


@dataclass(slots=True, kw_only=True)
class Item:
    """What is said between two commits. before: id of the item before it."""

    before: str | None
    start_ms: int = 0
    text: str = ""
    failed: bool = False
    name: str = field(default_factory=lambda: f"item_{secrets.token_hex(12)}")


class Buffer:
    """send: to the client; start_ms: where it begins in all the sound of the connection; before: the last item."""

    def __init__(
        self, settings: RealtimeSettings, seat: Seat, send: Send, *, start_ms: int = 0, before: str | None = None
    ) -> None:
        self._settings = settings
        self._seat = seat
        self._send = send
        self._start_ms = start_ms
        self._due = False  # an item, because of a commit
        self.last = before
        self._item = None if settings.vad else Item(before=before, start_ms=start_ms)

    @property
    def end_ms(self) -> int:
        """Where it ends, so far."""
        return self._start_ms + self._seat.session.received * 1000 // (2 * self._settings.rate)

    @property
    def duration_ms(self) -> int:
        """Of its sound, so far."""
        return self.end_ms - self._start_ms

    @property
    def by_client(self) -> bool:
        """Whether the client says when its speech ends."""
        return self._settings.vad is None

    async def append(self, data: bytes) -> None:
        """More sound, once there is room for it."""
        law = self._settings.law
        await self._seat.session.take(g711.expanded(data, law) if law else data)

    async def commit(self) -> None:
        """No more sound comes, and what there is becomes an item."""
        self._due = True
        if self._item is not None and self.by_client:
            await self._added(self._item)
        self._seat.session.end()

    def end(self) -> None:
        """No more sound comes."""
        self._seat.session.end()

    async def tell(self) -> None:
        """Until all is told. Raises as the results of a live session do."""
        async for message in self._seat.session.results.after(0):
            await self._told(message)
        if self._item is None and self._due:  # of silence
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
