"""The files that plain Parquet readers see: one for each table and partition, which is what the manifest names.

Each is a second name (a hard link) of a file in generations/ and is replaced in one step, so
`read_parquet('data/words/**/*.parquet')` never finds a row twice or half a file.
"""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path, PurePosixPath

from sensory_pipeline.lake.manifest import DataFile, Manifest
from sensory_pipeline.storage.files import files, write_atomically

GENERATIONS = "generations"
"""Folder of the lake with all generations of data files, outside data/ so that readers do not find superseded ones."""
DATA = "data"
_NAME = "rows.parquet"


def show(root: Path, manifest: Manifest) -> None:
    """Make the files of a partition in data/ those that its manifest names, and remove all others.

    The caller must hold the partition's lease.

    Args:
        root: Folder of the lake.
        manifest: The partition's current manifest.
    """
    for generation, shown in _pairs(root, manifest):
        if not _is_same(generation, shown):
            write_atomically(shown, partial(_link, generation))
        for path in files(shown.parent, "*"):
            if path != shown:
                path.unlink(missing_ok=True)


def is_shown(root: Path, manifest: Manifest) -> bool:
    """Return whether the files in data/ are those that the manifest names."""
    return all(_is_same(generation, shown) for generation, shown in _pairs(root, manifest))


def _pairs(root: Path, manifest: Manifest) -> list[tuple[Path, Path]]:
    """Return each data file in generations/ with its second name in data/."""
    return [
        (root / entry.path, root / DATA / _folder(entry) / _NAME)
        for entry in manifest.tables.values()
        if entry.path.startswith(f"{GENERATIONS}/")  # an older version wrote into data/ itself
    ]


def _folder(entry: DataFile) -> PurePosixPath:
    return PurePosixPath(entry.path).parent.relative_to(GENERATIONS)


def _is_same(generation: Path, shown: Path) -> bool:
    try:
        ours, theirs = generation.stat(), shown.stat()
    except FileNotFoundError:
        return False
    return (ours.st_size, ours.st_mtime_ns) == (theirs.st_size, theirs.st_mtime_ns)


def _link(source: Path, path: Path) -> None:
    try:
        os.link(source, path)
    except OSError:  # the file system has no hard links, or the file is another user's
        shutil.copy2(source, path)
