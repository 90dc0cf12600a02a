"""`stream=true`: a response as server-sent events.

Engines return the result of a whole recording, so all events are sent together. Until then, comments keep proxies from
closing the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack

from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from sensory_pipeline.core.errors import SensoryError
from sensory_pipeline.core.results import RecordingResult
from sensory_pipeline.gateway.openai.errors import error
from sensory_pipeline.gateway.openai.requests import Asked
from sensory_pipeline.gateway.openai.responses import event, events
from sensory_pipeline.gateway.problems import Problem, of_error

QUIET_S = 10.0
"""Seconds to wait before the response starts, so that an early error has its HTTP status; then between comments."""
_MEDIA_TYPE = "text/event-stream"
_WAITING = b": waiting\n\n"


async def streamed(
    work: Awaitable[RecordingResult], asked: Asked, stack: AsyncExitStack, *, quiet_s: float = QUIET_S
) -> Response:
    """Respond with the events of a result.

    Args:
        work: Returns the result.
        asked: The client's request.
        stack: An entered stack; it is closed after the last event.
        quiet_s: Seconds to wait before the response starts, and between comments.

    Raises:
        Exception: The work failed with this error before the response started.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=quiet_s)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if task.done():
        return Response(b"".join(events(task.result(), asked)), media_type=_MEDIA_TYPE)
    return _Late(task, asked, stack.pop_all(), quiet_s)


class _Late(StreamingResponse):
    """A response that starts before the work is done."""

    def __init__(
        self, task: asyncio.Future[RecordingResult], asked: Asked, stack: AsyncExitStack, quiet_s: float
    ) -> None:
        super().__init__(_parts(task, asked, quiet_s), media_type=_MEDIA_TYPE)
        self._task = task
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, as ASGI specifies."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._task.cancel()
            await asyncio.wait({self._task})
            await self._stack.aclose()


async def _parts(task: asyncio.Future[RecordingResult], asked: Asked, quiet_s: float) -> AsyncIterator[bytes]:
    while not task.done():
        yield _WAITING
        await asyncio.wait({task}, timeout=quiet_s)
    try:
        for part in events(task.result(), asked):
            yield part
    except ClientDisconnect:
        return
    except Problem as problem:
        yield event({"error": error(problem)})
    except SensoryError as failed:
        yield event({"error": error(of_error(failed))})
