"""A client of the service for asynchronous code."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self, Unpack, overload

import httpx2
import stamina

from sensory_pipeline.client.calls import (
    MOST_POLL_S,
    POLL_S,
    PROCESS,
    TIMEOUT,
    Call,
    Options,
    accepted,
    checked,
    finished,
    headers,
    should_retry,
    unreachable,
)
from sensory_pipeline.client.results import Result
from sensory_pipeline.client.uploads import Audio, Progress, opened


class AsyncAudioClient:
    """An AudioClient whose methods are awaited."""

    def __init__(
        self, url: str, *, key: str | None = None, attempts: int = 8, patience_s: float = 300, at_once: int = 4
    ) -> None:
        """Describe the service; the connection is made with the first request.

        Args:
            url: URL of the service.
            key: Key for the service, if it requires one.
            attempts: How often a request is sent if the service is busy or cannot be reached.
            patience_s: Seconds after which a request is given up in any case.
            at_once: How many recordings of a list are sent at the same time.
        """
        self._http = httpx2.AsyncClient(base_url=checked(url, "http", "https"), headers=headers(key), timeout=TIMEOUT)
        self._attempts, self._patience_s = attempts, patience_s
        self._places = asyncio.Semaphore(at_once)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @overload
    async def process(
        self, audio: Audio, *, background: bool = ..., progress: Progress | None = ..., **options: Unpack[Options]
    ) -> Result: ...
    @overload
    async def process(
        self,
        audio: list[Audio],
        *,
        background: bool = ...,
        progress: Progress | None = ...,
        **options: Unpack[Options],
    ) -> list[Result]: ...
    async def process(
        self,
        audio: Audio | list[Audio],
        *,
        background: bool = False,
        progress: Progress | None = None,
        **options: Unpack[Options],
    ) -> Result | list[Result]:
        """Process a recording or a list of recordings.

        Args:
            audio: A path, the bytes of a file, a file object, or a list of these.
            background: Use a job that continues if the connection breaks; this call waits for it.
            progress: Called with the number of bytes sent and the total.
            options: What to find out.

        Returns:
            The result, or a list of results in the same order.

        Raises:
            ServiceError: The service refused or failed, or cannot be reached.
            OSError: A file cannot be read.
        """
        if isinstance(audio, list):
            each = [self.process(one, background=background, progress=progress, **options) for one in audio]
            return await asyncio.gather(*each)
        async with self._places:
            answer = await self._sent(audio, Call(options=options, background=background), progress)
        return finished(answer) or await self.wait(str(answer["job_id"]))

    async def submit(
        self,
        audio: Audio,
        *,
        webhook_url: str | None = None,
        progress: Progress | None = None,
        **options: Unpack[Options],
    ) -> str:
        """Start a background job and return its id.

        Args:
            audio: A path, the bytes of a file, or a file object.
            webhook_url: URL that the service tells when the job is finished.
            progress: Called with the number of bytes sent and the total.
            options: What to find out.

        Raises:
            ServiceError: The service refused or failed, or cannot be reached.
            OSError: The file cannot be read.
        """
        call = Call(options=options, background=True, webhook_url=webhook_url)
        return str((await self._sent(audio, call, progress))["job_id"])

    async def result(self, job_id: str) -> Result | None:
        """Return the result of a job; None while it is not finished.

        Raises:
            JobFailed: The job has failed.
            ServiceError: The service refused or failed, or cannot be reached.
        """
        return finished(await self._asked(lambda: self._http.get(f"/v1/jobs/{job_id}")))

    async def wait(self, job_id: str, *, timeout_s: float | None = None) -> Result:
        """Wait for a job and return its result.

        Args:
            job_id: The job.
            timeout_s: Seconds after which to stop waiting; None for no limit.

        Raises:
            TimeoutError: The job is not finished; it continues.
            JobFailed: The job has failed.
            ServiceError: The service refused or failed, or cannot be reached.
        """
        pause_s, until = POLL_S, None if timeout_s is None else time.monotonic() + timeout_s
        while (found := await self.result(job_id)) is None:
            if until is not None and time.monotonic() + pause_s > until:
                raise TimeoutError(f"job {job_id} has not finished after {timeout_s:.0f} s; it continues")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, MOST_POLL_S)
        return found

    async def _sent(self, audio: Audio, call: Call, progress: Progress | None) -> Mapping[str, Any]:
        with opened(audio, progress) as upload:
            return await self._asked(lambda: self._http.post(PROCESS, **call.form(upload)))

    async def _asked(self, ask: Callable[[], Awaitable[httpx2.Response]]) -> Mapping[str, Any]:
        try:
            async for attempt in stamina.retry_context(
                on=should_retry, attempts=self._attempts, timeout=self._patience_s
            ):
                with attempt:
                    return accepted(await ask())
        except httpx2.TransportError as error:
            raise unreachable(self._http.base_url, error) from error
        raise AssertionError  # the last attempt returns or raises
