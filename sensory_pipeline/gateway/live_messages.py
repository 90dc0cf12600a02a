"""Messages from a live session to its client, and the outbox that keeps them until they are sent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

from sensory_pipeline.core.emotions import LABELS, EmotionScores
from sensory_pipeline.core.punctuation import join
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.core.transcripts import Word

KEPT = 500
"""Number of messages kept for a client that reads slowly or reconnects."""

Message = dict[str, Any]


class TooSlow(Exception):
    """The outbox no longer has a message that the client has not read."""


class Outbox:
    """Messages of one session, in order, for one reader at a time.

    Final messages are numbered from 1, and the last of them are kept. Only the newest partial message is sent.

    Args:
        kept: Maximum number of final messages kept.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._final: deque[Message] = deque(maxlen=kept)
        self._count = 0
        self._partial: Message | None = None
        self._closed = False
        self._error: Exception | None = None
        self._changed = asyncio.Event()

    def put(self, message: Message) -> None:
        """Add a final message, which must arrive."""
        self._count += 1
        self._final.append({**message, "number": self._count})
        self._partial = None
        self._changed.set()

    def put_partial(self, message: Message) -> None:
        """Add a partial message, which the next message replaces."""
        self._partial = {**message, "number": self._count}
        self._changed.set()

    def close(self, error: Exception | None = None) -> None:
        """Add nothing more.

        Args:
            error: The error that ended the session, which the reader gets.
        """
        self._closed, self._error = True, error
        self._changed.set()

    async def after(self, number: int) -> AsyncIterator[Message]:
        """Final messages with a number above `number`, with partial ones between them, until the outbox is closed.

        Raises:
            TooSlow: Some of these messages are no longer kept.
            Exception: The error that the outbox was closed with.
        """
        while True:
            while number < self._count:
                first = self._count - len(self._final) + 1
                if number + 1 < first:
                    raise TooSlow
                yield self._final[number + 1 - first]
                number += 1
            if self._partial is not None:
                message, self._partial = self._partial, None
                yield message
                continue
            if self._error is not None:
                raise self._error
            if self._closed:
                return
            self._changed.clear()
            await self._changed.wait()


def said(words: Sequence[Word], partial: Sequence[Word], *, at_ms: int) -> Message:
    """A message with words.

    Args:
        words: Words that are final now.
        partial: Words that may still change.
        at_ms: Time of the message if no words are final, in milliseconds from the start of the stream.
    """
    span = cover(word.span for word in words) if words else Span(start_ms=at_ms, end_ms=at_ms)
    return {
        **_times(span),
        "text": join(words),
        "words": [_word(word) for word in words],
        "emotional": None,
        "partial": [_word(word) for word in partial],
    }


def speech(change: Literal["started", "stopped"], at_ms: int) -> Message:
    """A message that speech started or stopped, for streams with `tells_speech`."""
    return {"speech": change, "at_ms": at_ms}


def felt(span: Span, scores: EmotionScores) -> Message:
    """A message with the emotion of a phrase, whose words were sent before."""
    emotional = {label: round(getattr(scores, label), 4) for label in LABELS}
    return {**_times(span), "text": "", "words": [], "emotional": emotional}


def _word(word: Word) -> Message:
    blank = "" if word.space_before is False else " "
    return {**_times(word.span), "word": blank + word.text, "confidence": round(word.probability, 4)}


def _times(span: Span) -> dict[str, float]:
    return {"start": span.start_s, "end": span.end_s}
