"""What is published: one small JSON file a partition, switched last and in one step.

Data files are immutable and named in the manifest; what no manifest names does not exist for
readers. `generation` counts commits, so that a writer that was overtaken notices.
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
    """How one recording stands. fingerprint: everything that decided its rows."""

    version: str
    status: Literal["ok", "failed"]
    fingerprint: str


class DataFile(_Value):
    """path: relative to the lake, with forward slashes; columns: its own, of the version that wrote it; checksum:
    of the whole file, None where an older version wrote it."""

    path: str
    rows: int
    columns: tuple[str, ...] = ()
    checksum: int | None = None


class Manifest(_Value):
    """One partition as readers see it. tables: by name; recordings: by recording_id."""

    generation: int = 0
    run_id: str = ""
    tables: dict[str, DataFile] = {}
    recordings: dict[str, Published] = {}


def read(folder: Path, partition: Partition) -> Manifest:
    """The current manifest; an empty one, generation 0, before the first commit."""
    try:
        return _read(_path(folder, partition))
    except FileNotFoundError:
        return Manifest()


def read_all(folder: Path) -> Iterator[tuple[Partition, Manifest]]:
    """Every partition that was ever published, and its manifest."""
    for partition in partitions(folder):
        yield partition, _read(_path(folder, partition))


def partitions(folder: Path) -> list[Partition]:
    """Every partition that was ever published, by date, without a look into its manifest."""
    return [
        Partition.parse(f"{path.parent.name.removeprefix('date=')}|{path.stem.removeprefix('shard=')}")
        for day in files(folder, "date=*")
        for path in files(day, "shard=*.json")
    ]


def commit(folder: Path, partition: Partition, manifest: Manifest) -> None:
    """Make `manifest` the current one. Its generation must follow the current one's.

    The caller holds the partition's lease. Raises StaleWriter when somebody committed in between.
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
    except ValueError as error:  # pydantic's are ValueErrors too
        raise LakeDamaged(
            f"{path} is damaged: put it back from a backup, or move it and the lake's ledger.sqlite away and ingest "
            "again, by which its partition is published again"
        ) from error


def _path(folder: Path, partition: Partition) -> Path:
    return folder / f"date={partition.date.isoformat()}" / f"shard={partition.shard}.json"
