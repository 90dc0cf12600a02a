"""Background jobs at work: begun when their turn comes, again after the service was killed, each with one result."""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import structlog

from sensory_pipeline.core.errors import EngineUnavailable, SensoryError, Transient
from sensory_pipeline.gateway.job_store import MOST_STARTS, Job, JobStore
from sensory_pipeline.gateway.problems import Problem, busy, of_error

log = structlog.get_logger()

MOST_JOBS = 10_000
"""Jobs that wait at most, however short."""
_TRIES = 5  # of what fails for a reason that may go away
_SWEEP_S = 60.0

Work = Callable[[Job, Path], Awaitable[dict[str, Any]]]


class Background:
    """The background jobs of a service, on its event loop.

    Args:
        folder: Holds the store and the recordings.
        limit_s: Seconds of audio that may wait.
        ttl_s: Seconds for which a result is kept.
        work: Makes the result of a job from its recording.
    """

    def __init__(self, folder: Path, *, limit_s: float, ttl_s: float, work: Work) -> None:
        self.store = JobStore(folder / "jobs.sqlite")
        self._folder = folder
        self._limit_s = limit_s
        self._ttl_s = ttl_s
        self._work = work
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._sweeper: asyncio.Task[None] | None = None
        self._closing = False

    async def start(self) -> None:
        """Go on with what a service before this one has left."""
        unfinished = await asyncio.to_thread(self.store.unfinished)
        kept = {self._recording(job.id) for job in unfinished}
        for path in self._folder.glob("*.audio"):
            if path not in kept:
                path.unlink()
        for job in unfinished:
            self._launch(job)
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Hand back what is at work: the next service begins it again."""
        self._closing = True
        tasks = list(self._tasks.values())
        for task in (*tasks, *([self._sweeper] if self._sweeper else [])):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def check(self, audio_s: float = 0) -> None:
        """Raises Problem when there is no room for one more."""
        count, waiting_s = await asyncio.to_thread(self.store.waiting)
        if count >= MOST_JOBS or (count and waiting_s + audio_s > self._limit_s):
            raise busy("jobs-full", f"{count} jobs of {waiting_s / 3600:.1f} hours are waiting: send it later", 300)

    async def add(
        self, upload: Path, *, client: str, request: str, digest: str, idempotency_key: str | None, audio_s: float
    ) -> Job:
        """Take over a recording; once this returns, it will be processed.

        Raises:
            Problem: The queue is full.
            KeyError: The client has a job with this key.
        """
        await self.check(audio_s)
        job = Job(
            id=uuid.uuid4().hex,
            client=client,
            state="queued",
            request=request,
            digest=digest,
            idempotency_key=idempotency_key,
            audio_s=audio_s,
            created_s=time.time(),
        )
        begun = asyncio.ensure_future(self._begin(upload, job))
        try:
            await asyncio.shield(begun)
        except asyncio.CancelledError:  # who hangs up now leaves a whole job, not one that nobody begins
            await asyncio.wait({begun})
            raise
        return job

    async def _begin(self, upload: Path, job: Job) -> None:
        await asyncio.to_thread(self._keep, upload, job)
        self._launch(job)

    async def finished(self, job: Job) -> Job:
        """The job once it is finished. Raises Problem where it has been deleted meanwhile."""
        if task := self._tasks.get(job.id):
            await asyncio.wait({task})
        found = await asyncio.to_thread(self.store.get, job.id, job.client)
        if found is None or not found.finished:
            raise Problem(409, "job-deleted", "the job was deleted, or handed to the next service: send it again")
        return found

    async def delete(self, identity: str, client: str) -> bool:
        """Whether there was such a job of the client's. What is at work is dropped."""
        if not await asyncio.to_thread(self.store.remove, identity, client):
            return False
        if task := self._tasks.get(identity):
            task.cancel()
            await asyncio.wait({task})
        await asyncio.to_thread(self._recording(identity).unlink, missing_ok=True)
        return True

    def _keep(self, upload: Path, job: Job) -> None:
        """The recording before its row, so that there is no row without one."""
        path = self._recording(job.id)
        with upload.open("rb") as file:
            os.fsync(file.fileno())
        upload.rename(path)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        try:
            self.store.add(job)
        except BaseException:
            path.rename(upload)
            raise

    def _recording(self, identity: str) -> Path:
        return self._folder / f"{identity}.audio"

    def _launch(self, job: Job) -> None:
        task = asyncio.create_task(self._run(job))
        self._tasks[job.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.id, None))

    async def _run(self, job: Job) -> None:
        with structlog.contextvars.bound_contextvars(job_id=job.id):
            try:
                await self._done(job)
            except asyncio.CancelledError:
                if self._closing:
                    await asyncio.shield(asyncio.to_thread(self.store.hand_back, job.id))
                raise
            except Exception:
                log.exception("job_failed")
                await self._failed(job, Problem(500, "failed", "the service failed on this recording: see its log"))

    async def _done(self, job: Job) -> None:
        for attempt in range(1, _TRIES + 1):
            try:
                result = await self._work(job, self._recording(job.id))
            except (Transient, EngineUnavailable) as error:
                if attempt == _TRIES:
                    await self._failed(job, of_error(error))
                    return
                log.warning("job_tried_again", error=type(error).__name__, attempt=attempt)
                await asyncio.sleep(2.0**attempt)
            except SensoryError as error:
                await self._failed(job, of_error(error))
                return
            except Problem as problem:
                await self._failed(job, problem)
                return
            else:
                await asyncio.to_thread(self.store.complete, job.id, json.dumps(result, ensure_ascii=False))
                log.info("job_completed", audio_s=job.audio_s)
                break
        await asyncio.to_thread(self._recording(job.id).unlink, missing_ok=True)

    async def _failed(self, job: Job, problem: Problem) -> None:
        await asyncio.to_thread(self.store.fail, job.id, problem.status, problem.kind, problem.detail)
        log.info("job_failed", kind=problem.kind)
        await asyncio.to_thread(self._recording(job.id).unlink, missing_ok=True)

    async def begun(self, job: Job) -> None:
        """Its turn has come. Raises Problem where it was begun too often without an end."""
        starts = await asyncio.to_thread(self.store.begin, job.id)
        if starts > MOST_STARTS:
            raise Problem(
                500,
                "abandoned",
                f"the service died {MOST_STARTS} times while it worked on this: try the recording alone",
            )

    async def _sweep(self) -> None:
        while True:
            await asyncio.to_thread(self.store.expire, time.time() - self._ttl_s)
            await asyncio.sleep(_SWEEP_S)
