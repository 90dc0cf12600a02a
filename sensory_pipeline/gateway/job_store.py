"""Background jobs in a SQLite file beside their recordings, so that queued jobs survive a crash."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sensory_pipeline.gateway.job_database import JobDatabase
from sensory_pipeline.gateway.responses import ProcessResponse, State

MOST_STARTS = 10
"""A job that was started this often without finishing is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A background job.

    Attributes:
        id: Identifier of the job.
        client: Name of the client that sent it.
        state: Its state.
        request: The JSON text of its `request_json`.
        digest: Hash of the request and the recording.
        idempotency_key: The header Idempotency-Key, if the client sent one.
        audio_s: Seconds of audio.
        created_s: When it was added, in seconds since 1970.
        finished_s: When it was finished, in seconds since 1970.
        starts: How often it was started.
        result: The JSON text of its result.
        status: HTTP status of the problem it failed with.
        kind: Kind of that problem.
        error: Detail of that problem.
    """

    id: str
    client: str
    state: State
    request: str
    digest: str
    idempotency_key: str | None
    audio_s: float
    created_s: float
    finished_s: float | None = None
    starts: int = 0
    result: str | None = None
    status: int | None = None
    kind: str | None = None
    error: str | None = None

    @property
    def finished(self) -> bool:
        """Whether it is completed or failed."""
        return self.state in ("completed", "failed")

    @property
    def response(self) -> ProcessResponse:
        """The response for its client."""
        result: dict[str, Any] | None = None if self.result is None else json.loads(self.result)
        return ProcessResponse(status=self.state, job_id=self.id, result=result, error=self.error)


_ABOUT = ", ".join(field.name for field in fields(Job) if field.name != "result")


class JobStore:
    """The table of jobs. Thread-safe; each call is one transaction."""

    def __init__(self, path: Path) -> None:
        self._database = JobDatabase(path)

    def add(self, job: Job, webhook_url: str | None = None) -> None:
        """Add a queued job.

        Args:
            job: The job.
            webhook_url: Where to tell of its end, if its client asked for that.

        Raises:
            KeyError: The client has a job with this idempotency key.
        """
        names = ("id", "client", "state", "request", "digest", "idempotency_key", "audio_s", "created_s")
        try:
            with self._database.writing() as db:
                db.execute(
                    "INSERT INTO jobs (id, client, state, request, digest, idempotency_key, audio_s, created_s) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [getattr(job, name) for name in names],
                )
                if webhook_url is not None:
                    db.execute("INSERT INTO webhooks (job_id, url) VALUES (?, ?)", [job.id, webhook_url])
        except sqlite3.IntegrityError as error:
            raise KeyError(job.idempotency_key) from error

    def get(self, identity: str, client: str) -> Job | None:
        """The job with this id, if it belongs to the client."""
        return self._one("SELECT * FROM jobs WHERE id = ? AND client = ?", identity, client)

    def with_key(self, client: str, idempotency_key: str) -> Job | None:
        """The client's job with this idempotency key."""
        return self._one("SELECT * FROM jobs WHERE client = ? AND idempotency_key = ?", client, idempotency_key)

    def of(self, client: str, limit: int) -> list[Job]:
        """The client's jobs without their results, newest first."""
        sql = f"SELECT {_ABOUT} FROM jobs WHERE client = ? ORDER BY created_s DESC, id LIMIT ?"  # noqa: S608 - ours
        return self._all(sql, client, limit)

    def unfinished(self) -> list[Job]:
        """All unfinished jobs, in order of arrival."""
        return self._all("SELECT * FROM jobs WHERE state IN ('queued', 'processing') ORDER BY created_s, id")

    def waiting(self) -> tuple[int, float]:
        """The number of unfinished jobs, and their seconds of audio."""
        with self._database.reading() as db:
            count, audio_s = db.execute(
                "SELECT count(*), total(audio_s) FROM jobs WHERE state IN ('queued', 'processing')"
            ).fetchone()
        return int(count), float(audio_s)

    def counts(self) -> dict[str, int]:
        """The number of jobs in each state."""
        with self._database.reading() as db:
            found = dict(db.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())
        return {state: found.get(state, 0) for state in ("queued", "processing", "completed", "failed")}

    def begin(self, identity: str) -> int:
        """Mark a job as processing. Returns how often it was started; 0 if it is deleted or finished."""
        with self._database.writing() as db:
            row = db.execute(
                "UPDATE jobs SET state = 'processing', starts = starts + 1 "
                "WHERE id = ? AND state IN ('queued', 'processing') RETURNING starts",
                [identity],
            ).fetchone()
        return 0 if row is None else int(row[0])

    def hand_back(self, identity: str) -> None:
        """Queue a running job again, without counting its last start."""
        with self._database.writing() as db:
            db.execute(
                "UPDATE jobs SET state = 'queued', starts = starts - 1 WHERE id = ? AND state = 'processing'",
                [identity],
            )

    def complete(self, identity: str, result: str) -> None:
        """Store the result of a job, unless the job is already finished."""
        self._finish("state = 'completed', result = ?", identity, result)

    def fail(self, identity: str, status: int, kind: str, error: str) -> None:
        """Store the problem that a job failed with, unless the job is already finished."""
        self._finish("state = 'failed', status = ?, kind = ?, error = ?", identity, status, kind, error)

    def remove(self, identity: str, client: str) -> bool:
        """Delete a job of this client. Returns whether there was one."""
        with self._database.writing() as db:
            return db.execute("DELETE FROM jobs WHERE id = ? AND client = ?", [identity, client]).rowcount > 0

    def expire(self, before_s: float) -> int:
        """Delete the jobs finished before this time (seconds since 1970). Returns their number."""
        with self._database.writing() as db:
            return db.execute("DELETE FROM jobs WHERE finished_s < ?", [before_s]).rowcount

    def _finish(self, what: str, identity: str, *values: object) -> None:
        with self._database.writing() as db:
            db.execute(
                f"UPDATE jobs SET {what}, finished_s = ? WHERE id = ? AND finished_s IS NULL",  # noqa: S608 - ours
                [*values, time.time(), identity],
            )

    def _one(self, sql: str, *values: object) -> Job | None:
        return next(iter(self._all(sql, *values)), None)

    def _all(self, sql: str, *values: object) -> list[Job]:
        with self._database.reading() as db:
            db.row_factory = sqlite3.Row
            return [Job(**dict(row)) for row in db.execute(sql, values)]
