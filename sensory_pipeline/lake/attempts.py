"""How often the work on a pending recording was tried, and how that ended."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from sensory_pipeline.core.recordings import Recording
from sensory_pipeline.lake.database import Database

MAX_ATTEMPTS = 10
"""A recording that was started this often without a known end is given up."""


class Attempts:
    """Attempts and crashes of each recording, in the ledger's database.

    Args:
        database: The database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def started(self, recording: Recording) -> None:
        """Count an attempt before the work begins, so that a death that nobody notices is counted too."""
        self._update(recording, "attempts = attempts + 1")

    def crashed(self, recording: Recording, note: str) -> None:
        """Count a crash: the process that worked on the recording died or hung."""
        self._update(recording, "crashes = crashes + 1, note = ?", note)

    def returned(self, recording: Recording) -> None:
        """Take an attempt back: it was not finished, for a reason that has nothing to do with the recording."""
        self._update(recording, "attempts = CASE WHEN attempts > 0 THEN attempts - 1 ELSE 0 END")

    def progressed(self, recording: Recording, *, sound: str | None = None) -> None:
        """Reset the counts, because a stage has finished the recording.

        Args:
            recording: The recording.
            sound: Hash of its sound, if it was decoded.
        """
        self._update(recording, "attempts = 0, crashes = 0, note = NULL, sound = coalesce(?, sound)", sound)

    def deferred(self, recording: Recording, note: str) -> None:
        """Leave the recording pending, because it could not be processed for now."""
        self._update(recording, "attempts = CASE WHEN attempts > 0 THEN attempts - 1 ELSE 0 END, note = ?", note)

    def reset_failures(self, recordings: Iterable[Recording]) -> None:
        """Try again what has failed on these recordings until now, because the recordings were not the cause."""
        now = datetime.now(UTC).replace(tzinfo=None).isoformat()
        for recording in recordings:
            self._update(recording, "attempts = 0, crashes = 0, note = NULL, failures_reset_at = ?", now)

    def _update(self, recording: Recording, change: str, *values: str | int | None) -> None:
        with self._database.writing() as db:
            db.execute(
                f"UPDATE recordings SET {change}, updated_at = ? WHERE recording_id = ? AND version = ?",  # noqa: S608
                (*values, datetime.now(UTC).isoformat(), recording.recording_id, recording.version),
            )
