"""How far each source has been listed, so that a listing longer than a sensor's tick goes on with the next.

A sweep goes through a source once, in as many pieces as it takes, and knows in the end what is no
longer there. Its position is kept beside the recordings, where the command line and every sensor
find the same one; in a sensor's own cursor it would be copied into each tick's row.

What one sweep did not see may have come behind its back, and been registered by another: each row
says in `seen_in` which sweep was the latest when it was new, and no earlier one takes it for gone.
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
        "blind": "INTEGER NOT NULL DEFAULT 0",
    },
    "swept": {"number": "BIGINT NOT NULL", "recording_id": "TEXT NOT NULL"},
}
LATEST = "(SELECT coalesce(max(number), 0) FROM sweeps)"
"""SQL: the number of the latest sweep that was begun."""
_ROWS = 1000
"""Written with one statement; SQLite takes no more than 32,766 values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One that is under way. prefix: of the uris of its source; after: uri it has come to; blind: whether
    it met something that could not be listed, and so cannot know what is gone."""

    prefix: str
    number: int
    after: str | None
    blind: bool


class Sweeps:
    """Of all sources. Two at once over the same source never harm: the one that was overtaken is told."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, prefix: str, *, afresh: bool) -> Sweep:
        """The one that was left off, or a new one. afresh: a new one in any case."""
        with self._database.exclusive() as db:
            known = db.execute("SELECT number, after, blind FROM sweeps WHERE prefix = ?", (prefix,)).fetchall()
            if known and known[0][1] is not None and not afresh:
                number, after, blind = known[0]
                return Sweep(prefix=prefix, number=number, after=after, blind=bool(blind))
            ((number,),) = db.execute(f"SELECT {LATEST} + 1").fetchall()
            if known:
                db.execute("DELETE FROM swept WHERE number = ?", (known[0][0],))
                db.execute("UPDATE sweeps SET number = ?, after = NULL, blind = 0 WHERE prefix = ?", (number, prefix))
            else:
                db.execute("INSERT INTO sweeps (prefix, number) VALUES (?, ?)", (prefix, number))
        return Sweep(prefix=prefix, number=number, after=None, blind=False)

    def advance(self, sweep: Sweep, *, after: str, seen: Sequence[str], blind: bool) -> Sweep | None:
        """It has come so far. seen: recording_ids since it was last advanced. None: it was overtaken."""
        moved = Sweep(prefix=sweep.prefix, number=sweep.number, after=after, blind=blind)
        with self._database.writing() as db:
            if not _move(db, sweep, moved):
                return None
            _see(db, sweep, seen)
        return moved

    def has_seen(self, sweep: Sweep) -> bool:
        """Whether anything was seen before it was last advanced."""
        with self._database.reading() as db:
            return bool(db.execute("SELECT 1 FROM swept WHERE number = ? LIMIT 1", (sweep.number,)).fetchall())

    def present(self, prefix: str) -> int:
        """Recordings that begin with it and are not known to be gone."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT count(*) FROM recordings WHERE present = 1 AND substr(uri, 1, length(?)) = ?", (prefix, prefix)
            ).fetchall()
        return int(str(rows[0][0]))

    def finish(self, sweep: Sweep, *, seen: Sequence[str], blind: bool) -> int:
        """It has come to the end: what it has not seen is gone, and no longer pending.

        Returns how many that are; none where it was overtaken, or is blind.
        """
        ended = Sweep(prefix=sweep.prefix, number=sweep.number, after=None, blind=False)
        gone = 0
        with self._database.writing() as db:
            if not _move(db, sweep, ended):
                return 0
            if not blind:
                _see(db, sweep, seen)
                gone = db.execute(
                    "UPDATE recordings SET present = 0, updated_at = ? WHERE present = 1 AND seen_in < ?"
                    " AND substr(uri, 1, length(?)) = ?"
                    " AND recording_id NOT IN (SELECT recording_id FROM swept WHERE number = ?)",
                    (datetime.now(UTC).isoformat(), sweep.number, sweep.prefix, sweep.prefix, sweep.number),
                ).rowcount
            db.execute("DELETE FROM swept WHERE number = ?", (sweep.number,))
        return gone


def _move(db: Transaction, old: Sweep, new: Sweep) -> bool:
    """Whether it was where we left it."""
    moved = db.execute(
        "UPDATE sweeps SET after = ?, blind = ? WHERE prefix = ? AND number = ? AND coalesce(after, '') = ?",
        (new.after, int(new.blind), old.prefix, old.number, old.after or ""),
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
