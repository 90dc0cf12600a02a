"""What plain Parquet readers see: for each table and partition one file, the generation that the manifest names.

It is a second name of that file, and is replaced in one step: `read_parquet('data/words/**/*.parquet')` never finds a
row twice, nor half a file.
"""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path, PurePosixPath

from sensory_pipeline.lake.manifest import DataFile, Manifest
from sensory_pipeline.storage.files import files, write_atomically

GENERATIONS = "generations"
"""Folder of the lake with all generations, where no reader's pattern for data/ finds the superseded ones."""
DATA = "data"
_NAME = "rows.parquet"


def show(root: Path, manifest: Manifest) -> None:
    """Bring the files of one partition up to date with its manifest, and remove all others.

    root: of the lake. The caller holds the partition's lease.
    """
    for generation, shown in _pairs(root, manifest):
        if not _is_same(generation, shown):
            write_atomically(shown, partial(_link, generation))
        for path in files(shown.parent, "*"):
            if path != shown:
                path.unlink(missing_ok=True)


def is_shown(root: Path, manifest: Manifest) -> bool:
    """Whether plain readers see what the manifest names."""
    return all(_is_same(generation, shown) for generation, shown in _pairs(root, manifest))


def _pairs(root: Path, manifest: Manifest) -> list[tuple[Path, Path]]:
    """Each data file, and its place for plain readers."""
    return [
        (root / entry.path, root / DATA / _folder(entry) / _NAME)
        for entry in manifest.tables.values()
        if entry.path.startswith(f"{GENERATIONS}/")  # an older version's are where plain readers look already
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
    except OSError:  # not every file system has hard links, and not every file of others may be linked to
        shutil.copy2(source, path)
