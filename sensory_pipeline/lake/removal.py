"""Forgetting a recording: the lake keeps only a mark that prevents its return.

The mark is its recording_id, a hash: a source that still has the object does not bring it back.
"""

from __future__ import annotations

from contextlib import suppress
from uuid import uuid4

from sensory_pipeline.core.errors import LakeDamaged
from sensory_pipeline.core.recordings import recording_id
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.publication import publish
from sensory_pipeline.storage.files import files


def forget(lake: Lake, uri: str) -> bool:
    """Remove a recording from the ledger, the tables, the stage results and the decoded audio.

    It waits for a run that works on the partition. If it is interrupted, call it again.

    Args:
        lake: The lake.
        uri: The recording.

    Returns:
        Whether the lake knows the recording, or knew it before it was forgotten.

    Raises:
        LakeDamaged: A table of its partition is damaged. Everything but the table rows is removed then; call it again
            once the tables can be read.
    """
    identity = recording_id(uri)
    partition = lake.ledger.partition_of(identity)
    if partition is None:
        return False
    with lake.lease(partition):
        # first, so that no run processes it again
        lake.ledger.forget(identity)
        # then the audio, so that it is deleted even if a damaged table stops the rest
        for path in files(lake.audio, f"{identity}-*.wav"):
            path.unlink(missing_ok=True)
        lake.stages.remove(partition, identity)
        base = lake.manifest(partition)
        # in any case: files of earlier generations may contain it too
        if base.generation:
            publish(
                lake,
                partition,
                run_id=f"forget-{uuid4().hex[:8]}",
                base=base,
                recordings={},
                rows=[],
                removed=[identity],
                grace_s=0,
            )
    return True


def below(lake: Lake, prefix: str) -> list[str]:
    """Return the uris of all recordings that begin with a prefix, in order.

    Missing recordings are included, and those that tables still show after an interrupted removal.
    """
    from sensory_pipeline.lake.views import connect  # DuckDB, which to remove a recording by its uri does not need

    with lake.database.reading() as db:
        known = db.execute(
            "SELECT uri FROM recordings WHERE status <> 'forgotten' AND substr(uri, 1, length(?)) = ?", (prefix, prefix)
        ).fetchall()
    published: list[tuple[str]] = []
    with suppress(LakeDamaged), connect(lake, include_missing=True) as views:
        published = views.execute(
            "SELECT uri FROM recordings WHERE starts_with(uri, $prefix)", {"prefix": prefix}
        ).fetchall()
    return sorted({uri for (uri,) in (*known, *published)})
