"""Publishing a partition: new rows replace old ones, in all tables in one step.

A commit first writes immutable data files, then the manifest that names them, then their names for plain Parquet
readers, then the ledger. If it is killed before the manifest, nobody reads the files, and a later commit removes them
after a grace period; if it is killed after the manifest, the next run finishes the commit (`recover`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.lake import manifest as manifests
from sensory_pipeline.lake import parquet
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.manifest import DataFile, Manifest, Published
from sensory_pipeline.lake.plain_files import GENERATIONS, show
from sensory_pipeline.lake.schema import Table
from sensory_pipeline.lake.tables import TABLES, Row, table_of
from sensory_pipeline.storage.checksums import checksum_of
from sensory_pipeline.storage.files import write_atomically

GRACE_S = 3600.0
"""Seconds that a superseded file is kept, for readers that still use it."""
ROW_GROUP = 512 * 1024


def publish(
    lake: Lake,
    partition: Partition,
    *,
    run_id: str,
    base: Manifest,
    recordings: Mapping[str, Published],
    rows: Sequence[Row],
    removed: Collection[str] = (),
    grace_s: float = GRACE_S,
) -> Manifest:
    """Replace everything that the partition holds of these recordings by `rows`, and update the ledger.

    Args:
        lake: The lake.
        partition: The partition, whose lease the caller holds.
        run_id: The run that publishes.
        base: The manifest that the caller read when it took the lease.
        recordings: Their new state, by recording_id.
        rows: Their new rows, of all tables.
        removed: recording_ids whose rows are removed without replacement.
        grace_s: Seconds that superseded files are kept.

    Returns:
        The new manifest.

    Raises:
        StaleWriter: Another run has committed since `base`.
        LakeDamaged: A data file of `base` is missing or damaged.
    """
    generation = base.generation + 1
    files = {
        table.name: _write(lake, partition, table, base, {*recordings, *removed}, rows, f"{generation:06d}-{run_id}")
        for table in TABLES
    }
    current = Manifest(
        generation=generation,
        run_id=run_id,
        tables=files,
        recordings={
            identity: entry
            for identity, entry in sorted({**base.recordings, **recordings}.items())
            if identity not in removed
        },
    )
    _begin_grace(lake, base)
    manifests.commit(lake.manifests, partition, current)
    show(lake.root, current)
    lake.ledger.settle(recordings)
    _sweep(lake, partition, current, grace_s)
    return current


def recover(lake: Lake, partition: Partition) -> Manifest:
    """Finish a commit that was killed after it had written its manifest. The caller must hold the partition's lease.

    Returns:
        The current manifest.
    """
    current = lake.manifest(partition)
    show(lake.root, current)
    lake.ledger.catch_up(current)
    return current


def _write(
    lake: Lake,
    partition: Partition,
    table: Table,
    base: Manifest,
    replaced: Collection[str],
    rows: Sequence[Row],
    name: str,
) -> DataFile:
    new = table.arrow([row for row in rows if table_of(type(row)) is table])
    if table.name in base.tables:
        old = _read(lake, table, base.tables[table.name])
        kept = old.filter(pc.invert(pc.is_in(old["recording_id"], pa.array(list(replaced), pa.string()))))
        new = pa.concat_tables([kept, new])
    new = new.sort_by([(column, "ascending") for column in table.order])
    path = _folder(table, partition) / f"{name}.parquet"
    write_atomically(lake.root / path, lambda temporary: write_parquet(table, new, temporary))
    return DataFile(
        path=path.as_posix(),
        rows=new.num_rows,
        columns=tuple(new.column_names),
        checksum=checksum_of(lake.root / path),
    )


def _read(lake: Lake, table: Table, entry: DataFile) -> pa.Table:
    path = lake.root / entry.path
    parquet.verify([(path, entry.checksum)])
    try:
        return parquet.read(path, table.schema)
    except (pa.ArrowException, OSError) as error:
        raise parquet.damaged(path, error) from error


def write_parquet(table: Table, rows: pa.Table, path: Path) -> None:
    """Write rows with delta-encoded times and dictionaries for the rest: about 6 bytes per word."""
    times = [c.name for c in table.columns if c.name.endswith("_ms")]
    parquet.write(
        rows,
        path,
        compression_level=3,
        row_group_size=ROW_GROUP,
        use_dictionary=[c.name for c in table.columns if c.name not in times],
        column_encoding=dict.fromkeys(times, "DELTA_BINARY_PACKED"),
    )


def _folder(table: Table, partition: Partition) -> Path:
    return Path(GENERATIONS, table.name, partition.folder)


def _begin_grace(lake: Lake, superseded: Manifest) -> None:
    """Let the superseded files' time of grace begin now: they may have been written months ago."""
    for entry in superseded.tables.values():
        with suppress(PermissionError):  # another user's file: no grace
            os.utime(lake.root / entry.path)


def _sweep(lake: Lake, partition: Partition, current: Manifest, grace_s: float) -> None:
    named = {entry.path for entry in current.tables.values()}
    oldest = time.time() - grace_s
    for table in TABLES:
        for path in (lake.root / _folder(table, partition)).iterdir():
            if path.relative_to(lake.root).as_posix() not in named and path.stat().st_mtime <= oldest:
                path.unlink(missing_ok=True)
