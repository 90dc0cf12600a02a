"""How far each source has been listed, so that a long listing can continue in the next tick of a sensor.

A sweep goes through a source once, in one or more parts; at its end it knows which recordings are missing. Its position
is stored beside the recordings, so that the command line and all sensors use the same one; a sensor's own cursor would
be copied into the row of every tick.

A file may be added where a sweep has already passed, and be registered by another one. `seen_in` of its row is the
number of the latest sweep at that time, so an older sweep does not mark it as missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain

from sensory_pipeline.lake.database import Database, Transaction

TABLES = {
    "sweeps": {
        "prefix": "TEXT PRIMARY KEY",
        "number": "BIGINT NOT NULL",
        "after": "TEXT",
        "incomplete": "INTEGER NOT NULL DEFAULT 0",
    },
    "swept": {"number": "BIGINT NOT NULL", "recording_id": "TEXT NOT NULL"},
}
LATEST = "(SELECT coalesce(max(number), 0) FROM sweeps)"
"""SQL: the number of the latest sweep."""
_ROWS = 1000
"""Rows per INSERT; SQLite allows at most 32,766 values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A sweep that is in progress.

    Attributes:
        prefix: What the uris of its source begin with.
        number: Its number; a later sweep has a higher one.
        after: The last uri that was listed; None at the beginning.
        incomplete: Whether a part could not be listed; then nothing can be marked as missing.
    """

    prefix: str
    number: int
    after: str | None
    incomplete: bool


class Sweeps:
    """The sweeps of all sources.

    Two over the same source at once do no harm: the older one learns that it was overtaken.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, prefix: str, *, restart: bool) -> Sweep:
        """Continue the sweep that was interrupted, or begin a new one.

        Args:
            prefix: What the uris of the source begin with.
            restart: Begin a new one in any case.
        """
        with self._database.exclusive() as db:
            known = db.execute("SELECT number, after, incomplete FROM sweeps WHERE prefix = ?", (prefix,)).fetchall()
            if known and known[0][1] is not None and not restart:
                number, after, incomplete = known[0]
                return Sweep(prefix=prefix, number=number, after=after, incomplete=bool(incomplete))
            ((number,),) = db.execute(f"SELECT {LATEST} + 1").fetchall()
            if known:
                db.execute("DELETE FROM swept WHERE number = ?", (known[0][0],))
                db.execute(
                    "UPDATE sweeps SET number = ?, after = NULL, incomplete = 0 WHERE prefix = ?", (number, prefix)
                )
            else:
                db.execute("INSERT INTO sweeps (prefix, number) VALUES (?, ?)", (prefix, number))
        return Sweep(prefix=prefix, number=number, after=None, incomplete=False)

    def advance(self, sweep: Sweep, *, after: str, seen: Sequence[str], incomplete: bool) -> Sweep | None:
        """Store how far a sweep has come.

        Args:
            sweep: The sweep as it was last stored.
            after: The last uri that was listed.
            seen: recording_ids seen since it was last stored.
            incomplete: Whether a part could not be listed.

        Returns:
            The sweep as it is now; None if another one has overtaken it.
        """
        moved = Sweep(prefix=sweep.prefix, number=sweep.number, after=after, incomplete=incomplete)
        with self._database.writing() as db:
            if not _move(db, sweep, moved):
                return None
            _see(db, sweep, seen)
        return moved

    def has_seen(self, sweep: Sweep) -> bool:
        """Return whether a recording was seen before the sweep was last stored."""
        with self._database.reading() as db:
            return bool(db.execute("SELECT 1 FROM swept WHERE number = ? LIMIT 1", (sweep.number,)).fetchall())

    def count_present(self, prefix: str) -> int:
        """Count the recordings whose uri begins with the prefix and that are not marked as missing."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT count(*) FROM recordings WHERE present = 1 AND substr(uri, 1, length(?)) = ?", (prefix, prefix)
            ).fetchall()
        return int(str(rows[0][0]))

    def finish(self, sweep: Sweep, *, seen: Sequence[str], incomplete: bool) -> int:
        """End a sweep: mark what it has not seen as missing, and no longer pending.

        Args:
            sweep: The sweep as it was last stored.
            seen: recording_ids seen since then.
            incomplete: Whether a part could not be listed; nothing is marked as missing then.

        Returns:
            How many recordings were marked; 0 if another sweep has overtaken this one.
        """
        ended = Sweep(prefix=sweep.prefix, number=sweep.number, after=None, incomplete=False)
        missing = 0
        with self._database.writing() as db:
            if not _move(db, sweep, ended):
                return 0
            if not incomplete:
                _see(db, sweep, seen)
                missing = db.execute(
                    "UPDATE recordings SET present = 0, updated_at = ? WHERE present = 1 AND seen_in < ?"
                    " AND substr(uri, 1, length(?)) = ?"
                    " AND recording_id NOT IN (SELECT recording_id FROM swept WHERE number = ?)",
                    (datetime.now(UTC).isoformat(), sweep.number, sweep.prefix, sweep.prefix, sweep.number),
                ).rowcount
            db.execute("DELETE FROM swept WHERE number = ?", (sweep.number,))
        return missing


def _move(db: Transaction, old: Sweep, new: Sweep) -> bool:
    """Update the position, unless another sweep has changed it; return whether it was updated."""
    moved = db.execute(
        "UPDATE sweeps SET after = ?, incomplete = ? WHERE prefix = ? AND number = ? AND coalesce(after, '') = ?",
        (new.after, int(new.incomplete), old.prefix, old.number, old.after or ""),
    )
    return moved.rowcount == 1


def _see(db: Transaction, sweep: Sweep, seen: Sequence[str]) -> None:
    for start in range(0, len(seen), _ROWS):
        page = seen[start : start + _ROWS]
        places = ", ".join(["(?, ?)"] * len(page))
        db.execute(
            f"INSERT INTO swept (number, recording_id) VALUES {places}",  # noqa: S608
            list(chain.from_iterable((sweep.number, identity) for identity in page)),
        )
