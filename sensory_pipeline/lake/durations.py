"""How long published recordings are."""

from __future__ import annotations

from collections.abc import Collection

from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.views import connect

_ROWS = 10_000


def audio_hours(lake: Lake, identities: Collection[str]) -> float:
    """Return the hours of audio of these recordings, as far as their length is known."""
    wanted = set(identities)
    seconds = 0.0
    if wanted:
        with connect(lake) as db:
            rows = db.execute("SELECT recording_id, duration_s FROM recordings WHERE duration_s IS NOT NULL")
            while page := rows.fetchmany(_ROWS):
                seconds += sum(duration for identity, duration in page if identity in wanted)
    return seconds / 3600
