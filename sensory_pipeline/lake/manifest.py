"""What is published: one small JSON file per partition, replaced in one step at the end of a commit.

Data files never change, and readers only see those that a manifest names. `generation` counts the commits, so that a
writer notices if another one was faster.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from sensory_pipeline.core.errors import LakeDamaged, StaleWriter
from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.storage.checksums import sealed, unsealed
from sensory_pipeline.storage.files import files, sweep_temporaries, write_text_atomically


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Published(_Value):
    """The published state of one recording.

    Attributes:
        version: Version of the source object.
        status: Whether it was processed.
        fingerprint: Hash of everything that decided its rows.
    """

    version: str
    status: Literal["ok", "failed"]
    fingerprint: str


class DataFile(_Value):
    """A Parquet file of a table.

    Attributes:
        path: Relative to the lake, with forward slashes.
        rows: Number of rows.
        columns: Names of its columns, in the version that wrote it.
        checksum: Of the whole file; None if an older version wrote it.
    """

    path: str
    rows: int
    columns: tuple[str, ...] = ()
    checksum: int | None = None


class Manifest(_Value):
    """One partition as readers see it.

    Attributes:
        generation: Number of commits so far.
        run_id: The run of the last commit.
        tables: Data files by table.
        recordings: Published state by recording_id.
    """

    generation: int = 0
    run_id: str = ""
    tables: dict[str, DataFile] = {}
    recordings: dict[str, Published] = {}


def read(folder: Path, partition: Partition) -> Manifest:
    """Return the current manifest; before the first commit an empty one of generation 0.

    Raises:
        LakeDamaged: The manifest is damaged.
    """
    try:
        return _read(_path(folder, partition))
    except FileNotFoundError:
        return Manifest()


def read_all(folder: Path) -> Iterator[tuple[Partition, Manifest]]:
    """Yield every published partition with its manifest."""
    for partition in partitions(folder):
        yield partition, _read(_path(folder, partition))


def partitions(folder: Path) -> list[Partition]:
    """Return every published partition, ordered by date, without reading the manifests."""
    return [
        Partition.parse(f"{path.parent.name.removeprefix('date=')}|{path.stem.removeprefix('shard=')}")
        for day in files(folder, "date=*")
        for path in files(day, "shard=*.json")
    ]


def commit(folder: Path, partition: Partition, manifest: Manifest) -> None:
    """Make `manifest` the current one; the caller holds the partition's lease.

    Args:
        folder: Folder of all manifests.
        partition: The partition.
        manifest: The new manifest, whose generation follows the current one's.

    Raises:
        StaleWriter: Another run has committed in between.
    """
    current = read(folder, partition).generation
    if manifest.generation != current + 1:
        raise StaleWriter(
            f"partition {partition.key} is at generation {current}, this run would write "
            f"{manifest.generation}: another run overtook it; nothing was changed, run it again"
        )
    path = _path(folder, partition)
    write_text_atomically(path, sealed(manifest.model_dump_json(indent=1)))
    sweep_temporaries(path.parent)


def _read(path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(unsealed(path.read_bytes()))
    except ValueError as error:  # pydantic's errors are ValueErrors too
        raise LakeDamaged(
            f"{path} is damaged: put it back from a backup, or move it and the lake's ledger.sqlite away and ingest "
            "again, which publishes its partition again"
        ) from error


def _path(folder: Path, partition: Partition) -> Path:
    return folder / f"{partition.folder}.json"
