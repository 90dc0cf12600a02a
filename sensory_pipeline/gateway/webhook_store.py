"""The webhooks of jobs that are not delivered yet, in the jobs' database. They are deleted with their jobs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sensory_pipeline.gateway.job_database import JobDatabase
from sensory_pipeline.gateway.responses import ProcessResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A webhook that is due.

    Attributes:
        job_id: The finished job.
        url: Where to send it.
        body: What to send: the state of the job as JSON.
        tries: How often it was sent in vain.
    """

    job_id: str
    url: str
    body: bytes
    tries: int


class WebhookStore:
    """The table of webhooks. Thread-safe; each call is one transaction."""

    def __init__(self, path: Path) -> None:
        self._database = JobDatabase(path)

    def due(self, now_s: float, limit: int) -> list[Webhook]:
        """The webhooks of finished jobs whose time has come; one of each client first, then the second of each.

        Args:
            now_s: Now, in seconds since 1970.
            limit: Maximum number of webhooks.
        """
        sql = """
            SELECT id, url, tries, state, error FROM (
                SELECT id, url, tries, state, error, next_s, finished_s,
                    row_number() OVER (PARTITION BY client ORDER BY next_s, finished_s) AS place
                FROM webhooks JOIN jobs ON id = job_id WHERE finished_s IS NOT NULL AND next_s <= ?
            ) ORDER BY place, next_s, finished_s LIMIT ?
        """
        with self._database.reading() as db:
            return [
                Webhook(
                    job_id=identity,
                    url=url,
                    body=ProcessResponse(status=state, job_id=identity, error=error).model_dump_json().encode(),
                    tries=tries,
                )
                for identity, url, tries, state, error in db.execute(sql, [now_s, limit])
            ]

    def next_s(self) -> float | None:
        """The time of the next webhook of a finished job, in seconds since 1970; None if there is none."""
        sql = "SELECT min(next_s) FROM webhooks JOIN jobs ON id = job_id WHERE finished_s IS NOT NULL"
        with self._database.reading() as db:
            found: tuple[float | None] = db.execute(sql).fetchone()
        return found[0]

    def postpone(self, job_id: str, next_s: float) -> None:
        """Count an attempt, and set the time of the next, in seconds since 1970."""
        with self._database.writing() as db:
            db.execute("UPDATE webhooks SET tries = tries + 1, next_s = ? WHERE job_id = ?", [next_s, job_id])

    def remove(self, job_id: str) -> None:
        """Delete a webhook that is delivered or given up."""
        with self._database.writing() as db:
            db.execute("DELETE FROM webhooks WHERE job_id = ?", [job_id])
