"""Verifies models outside the catalogue, in the cache of the hub's client, by the digests that the hub published.

The client names each file by what the hub said about it when it was downloaded: the sha256 of a large file, the git
object id (sha1 of "blob", its size, NUL and its content) of a small one.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from pathlib import Path

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.catalogue.store import Store, state
from sensory_pipeline.storage.files import write_text_atomically


def verified(snapshot: Path, store: Store) -> Path:
    """The snapshot, after each of its files was read and its digest compared with the hub's.

    The result is kept in the store, with the files' sizes and times, so that they are not read again.

    Args:
        snapshot: models--OWNER--NAME/snapshots/COMMIT.
        store: Of this project's models.

    Raises:
        ConfigurationError: A file is not what the hub published.
    """
    files = {str(path.relative_to(snapshot)): path for path in sorted(snapshot.rglob("*")) if path.is_file()}
    found = {name: state(path) for name, path in files.items()}
    stamp = store.folder / "hub" / f"{snapshot.parents[1].name}@{snapshot.name}.json"
    with suppress(OSError, ValueError):
        if json.loads(stamp.read_text(encoding="utf-8")) == found:
            return snapshot
    damaged = [str(path) for path in files.values() if not _as_published(path)]
    if damaged:
        raise ConfigurationError(
            f"{', '.join(damaged)}: not what the hub published. Delete it and fetch the model again"
        )
    with suppress(OSError):  # if the store cannot be written to, they are read again next time
        write_text_atomically(stamp, json.dumps(found))
    return snapshot


def _as_published(path: Path) -> bool:
    name = path.resolve().name
    with path.open("rb") as file:
        if re.fullmatch("[0-9a-f]{64}", name):
            return hashlib.file_digest(file, "sha256").hexdigest() == name
        if re.fullmatch("[0-9a-f]{40}", name):
            header = b"blob %d\0" % path.stat().st_size
            return hashlib.sha1(header + file.read(), usedforsecurity=False).hexdigest() == name
    return True  # a copy without links, whose digest is unknown
