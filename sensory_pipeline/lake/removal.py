"""Forgetting a recording: nothing of it stays in the lake but the mark that it is not to come back.

The mark is its recording_id, a hash, so that a source that still has the object does not bring it back.
"""

from __future__ import annotations

from uuid import uuid4

from sensory_pipeline.core.recordings import recording_id
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.publication import publish
from sensory_pipeline.storage.files import files


def forget(lake: Lake, uri: str) -> bool:
    """Remove a recording from the ledger, the tables, the stage results and the decoded audio.

    Returns whether the lake knew it, now or before. Waits for a run that is at work in its
    partition. Repeat it if it was interrupted. Raises LakeDamaged when a table of its partition is damaged:
    of the tables alone is anything left then, and a repetition removes it once they can be read.
    """
    identity = recording_id(uri)
    partition = lake.ledger.partition_of(identity)
    if partition is None:
        return False
    with lake.lease(partition):
        # first of all, so that no run takes it up again
        lake.ledger.forget(identity)
        # then the voice, so that it is gone even where a damaged file of a table stops the rest
        for path in files(lake.audio, f"{identity}-*.wav"):
            path.unlink(missing_ok=True)
        lake.stages.remove(partition, identity)
        base = lake.manifest(partition)
        # always, for files of earlier generations may hold it too
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
