"""Runs background jobs in their turn and restarts them after a crash of the service; each job has one result."""

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
"""Maximum number of unfinished jobs, whatever their length."""
DATABASE = "jobs.sqlite"
_TRIES = 5  # attempts, if the error is temporary
_SWEEP_S = 60.0

Work = Callable[[Job, Path], Awaitable[dict[str, Any]]]


class Background:
    """The background jobs of a service, on its event loop.

    Args:
        folder: Folder of the job database and the recordings.
        limit_s: Maximum seconds of audio that may wait.
        ttl_s: Seconds that a result is kept.
        work: Returns the result of a job, given its recording.
        finished: Called when a job is completed or has failed.
    """

    def __init__(
        self, folder: Path, *, limit_s: float, ttl_s: float, work: Work, finished: Callable[[], None] = lambda: None
    ) -> None:
        self.store = JobStore(folder / DATABASE)
        self._folder = folder
        self._limit_s = limit_s
        self._ttl_s = ttl_s
        self._work = work
        self._told = finished
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._sweeper: asyncio.Task[None] | None = None
        self._closing = False

    async def start(self) -> None:
        """Resume the unfinished jobs of the previous service."""
        unfinished = await asyncio.to_thread(self.store.unfinished)
        kept = {self._recording(job.id) for job in unfinished}
        for path in self._folder.glob("*.audio"):
            if path not in kept:
                path.unlink()
        for job in unfinished:
            self._launch(job)
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Return running jobs to the queue; the next service starts them again."""
        self._closing = True
        tasks = list(self._tasks.values())
        for task in (*tasks, *([self._sweeper] if self._sweeper else [])):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def check(self, audio_s: float = 0) -> None:
        """Check that the queue has room for another job.

        Args:
            audio_s: Seconds of audio of the job.

        Raises:
            Problem: The queue is full.
        """
        count, waiting_s = await asyncio.to_thread(self.store.waiting)
        if count >= MOST_JOBS or (count and waiting_s + audio_s > self._limit_s):
            raise busy("jobs-full", f"{count} jobs of {waiting_s / 3600:.1f} hours are waiting: send it later", 300)

    async def add(
        self,
        upload: Path,
        *,
        client: str,
        request: str,
        digest: str,
        idempotency_key: str | None,
        audio_s: float,
        webhook_url: str | None = None,
    ) -> Job:
        """Add a job and move its recording here. Once this returns, the job survives a crash.

        Args:
            upload: The recording.
            client: Name of the client.
            request: The JSON text of `request_json`.
            digest: Hash of the request and the recording.
            idempotency_key: The header Idempotency-Key, if the client sent one.
            audio_s: Seconds of audio.
            webhook_url: Where to tell of the job's end, if the client asked for that.

        Raises:
            Problem: The queue is full.
            KeyError: The client has a job with this idempotency key.
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
        begun = asyncio.ensure_future(self._begin(upload, job, webhook_url))
        try:
            await asyncio.shield(begun)
        except asyncio.CancelledError:  # if the client disconnects now, the job is still stored and started
            await asyncio.wait({begun})
            raise
        return job

    async def _begin(self, upload: Path, job: Job, webhook_url: str | None) -> None:
        await asyncio.to_thread(self._keep, upload, job, webhook_url)
        self._launch(job)

    async def finished(self, job: Job) -> Job:
        """Wait until a job is finished, and return it.

        Raises:
            Problem: The job was deleted meanwhile, or the service is stopping.
        """
        if task := self._tasks.get(job.id):
            await asyncio.wait({task})
        found = await asyncio.to_thread(self.store.get, job.id, job.client)
        if found is None or not found.finished:
            raise Problem(409, "job-deleted", "the job was deleted, or the service is restarting: send it again")
        return found

    async def delete(self, identity: str, client: str) -> bool:
        """Delete a job of this client, and cancel it if it is running. Returns whether there was one."""
        if not await asyncio.to_thread(self.store.remove, identity, client):
            return False
        if task := self._tasks.get(identity):
            task.cancel()
            await asyncio.wait({task})
        await asyncio.to_thread(self._recording(identity).unlink, missing_ok=True)
        return True

    def _keep(self, upload: Path, job: Job, webhook_url: str | None) -> None:
        """Store the recording before its row, so that every row has a recording."""
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
            self.store.add(job, webhook_url)
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
            except Exception:  # a job must end, whatever went wrong, or its client waits for ever
                log.exception("job_failed")
                await self._failed(
                    job, Problem(500, "failed", "the service failed on this recording: see the log of the service")
                )

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
                self._told()
                break
        await asyncio.to_thread(self._recording(job.id).unlink, missing_ok=True)

    async def _failed(self, job: Job, problem: Problem) -> None:
        await asyncio.to_thread(self.store.fail, job.id, problem.status, problem.kind, problem.detail)
        log.info("job_failed", kind=problem.kind)
        self._told()
        await asyncio.to_thread(self._recording(job.id).unlink, missing_ok=True)

    async def begun(self, job: Job) -> None:
        """Mark a job as processing.

        Raises:
            Problem: It was started too often without finishing.
        """
        starts = await asyncio.to_thread(self.store.begin, job.id)
        if starts > MOST_STARTS:
            raise Problem(
                500,
                "abandoned",
                f"the service crashed {MOST_STARTS} times during this job: send the recording alone",
            )

    async def _sweep(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self.store.expire, time.time() - self._ttl_s)
            except Exception:  # a full disk, or anything else: jobs must expire once it has passed
                log.exception("expiry_failed")
            await asyncio.sleep(_SWEEP_S)
