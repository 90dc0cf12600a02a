"""Results of stages, stored so that nothing is computed twice and a killed run can continue.

They are immutable Parquet files by stage and partition, written every few seconds of work. A result is found by
recording, version and fingerprint; results that are no longer needed do no harm. Payloads are JSON: they are validated
when read, never unpickled. Each file has the checksum of its content in its name; a damaged file is deleted, and its
results are computed again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.lake import parquet
from sensory_pipeline.storage.checksums import checksum
from sensory_pipeline.storage.files import files, sweep_temporaries, write_atomically

log = logging.getLogger(__name__)

CHUNK_S = 10.0
"""Maximum seconds of work that a kill loses."""
CHUNK_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """The result of a stage for one version of one recording, and how it was made.

    Exactly one of `payload` and `error_class` is set.

    Attributes:
        recording_id: The recording.
        version: Its version.
        fingerprint: Hash of everything that decides the result.
        payload: The result as JSON.
        error_class: Class of the error.
        error_message: What failed and what to do about it.
        engine: Engine that was used.
        model: Its model.
        revision: Revision of the model.
        settings: Settings that decide the result, as JSON.
        device: Device that was used.
        run_id: Dagster run that executed the stage.
        pipeline_version: Version of this software.
        seconds: How long the work took.
        made_at: When it was finished (naive UTC).
    """

    recording_id: str
    version: str
    fingerprint: str
    payload: str | None = None
    error_class: str | None = None
    error_message: str | None = None
    engine: str
    model: str
    revision: str
    settings: str
    device: str
    run_id: str
    pipeline_version: str
    seconds: float
    made_at: datetime


_ARROW = {"seconds": pa.float64(), "made_at": pa.timestamp("us")}
SCHEMA = pa.schema([pa.field(f.name, _ARROW.get(f.name, pa.string())) for f in fields(StageResult)])
_KEYS = pa.schema([SCHEMA.field(name) for name in ("recording_id", "version", "fingerprint")])


class StageStore:
    """All stage results of a lake, below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, stage: Stage, partition: Partition, wanted: Mapping[str, tuple[str, str]]) -> dict[str, StageResult]:
        """Return the newest stored result for each recording that has one.

        Args:
            stage: The stage.
            partition: The partition.
            wanted: (version, fingerprint) by recording_id.
        """
        found: dict[str, StageResult] = {}
        for path in reversed(files(self._folder(stage, partition), "*.parquet")):
            missing = {identity: key for identity, key in wanted.items() if identity not in found}
            found |= _matching(path, missing)
        return found

    def newest(self, stage: Stage, partition: Partition, versions: Mapping[str, str], column: str) -> dict[str, Any]:
        """Return one column of the newest stored result for each recording that has one, whatever its fingerprint.

        Args:
            stage: The stage.
            partition: The partition.
            versions: Version by recording_id.
            column: Name of the column.
        """
        schema = pa.schema([SCHEMA.field(name) for name in ("recording_id", "version", column)])
        found: dict[str, Any] = {}
        for path in files(self._folder(stage, partition), "*.parquet"):
            with suppress(FileNotFoundError):  # a recording was just forgotten
                rows = _read(path, schema)
                for row in rows.to_pylist() if rows is not None else ():
                    if versions.get(row["recording_id"]) == row["version"]:
                        found[row["recording_id"]] = row[column]
        return found

    def writer(self, stage: Stage, partition: Partition, run_id: str) -> StageWriter:
        """Return a writer for a partition, to be used in a `with`; the caller holds the partition's lease."""
        return StageWriter(self._folder(stage, partition), run_id)

    def remove(self, partition: Partition, recording_id: str) -> None:
        """Delete every result of all versions of a recording; the caller holds the partition's lease."""
        for stage in Stage:
            for path in files(self._folder(stage, partition), "*.parquet"):
                if (rows := _read(path)) is None:
                    continue
                kept = rows.filter(pc.not_equal(rows["recording_id"], recording_id))
                if kept.num_rows == rows.num_rows:
                    continue
                if kept.num_rows:
                    _write(path.parent, path.stem.rpartition(".")[0] or path.stem, kept)
                path.unlink()

    def _folder(self, stage: Stage, partition: Partition) -> Path:
        return self._root / stage / partition.folder


class StageWriter:
    """Collects results and writes them in chunks.

    A chunk is written when CHUNK_S have passed since its first result, provided that `flush_when_due` is called often
    enough, and at the end of the `with`, also after an exception.
    """

    def __init__(self, folder: Path, run_id: str) -> None:
        self._folder = folder
        self._run_id = run_id
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0
        self._chunks = 0
        self._oldest = 0.0

    def __enter__(self) -> Self:
        sweep_temporaries(self._folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()

    def add(self, result: StageResult) -> None:
        """Add a result."""
        self._oldest = self._oldest if self._rows else time.monotonic()
        self._rows.append({field.name: getattr(result, field.name) for field in fields(result)})
        self._bytes += len(result.payload or "")
        self.flush_when_due()

    def flush_when_due(self) -> None:
        """Write the results if they are old or large enough."""
        if self._rows and (time.monotonic() - self._oldest > CHUNK_S or self._bytes > CHUNK_BYTES):
            self.flush()

    def flush(self) -> None:
        """Write the results since the last chunk."""
        if self._rows:
            table = pa.Table.from_pylist(self._rows, schema=SCHEMA)
            # names sort by time, so that the newest of several results is found first
            _write(self._folder, f"{time.time_ns():020d}-{self._run_id}-{self._chunks}", table)
            self._chunks += 1
        self._rows, self._bytes = [], 0


def _write(folder: Path, name: str, rows: pa.Table) -> None:
    stream = pa.BufferOutputStream()
    parquet.write(rows, stream)
    content = stream.getvalue().to_pybytes()
    path = folder / f"{name}.{checksum(content):08x}.parquet"
    write_atomically(path, lambda temporary: _fill(temporary, content))


def _fill(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _read(path: Path, schema: pa.Schema = SCHEMA) -> pa.Table | None:
    """Return these columns of a file; if it is damaged, delete it and return None."""
    content = path.read_bytes()
    try:
        name, _, expected = path.stem.rpartition(".")
        if name and int(expected, 16) != checksum(content):  # files of an older version have none
            raise ValueError("its checksum is different")
        return parquet.read(pa.BufferReader(content), schema)
    except (ValueError, pa.ArrowException, OSError) as error:
        log.warning("%s is damaged (%s): it is deleted, and what it held is made again", path, error)
        path.unlink()
        return None


def _matching(path: Path, wanted: Mapping[str, tuple[str, str]]) -> dict[str, StageResult]:
    if (found := _read(path, _KEYS)) is None:
        return {}
    keys = found.to_pylist()
    hits = [i for i, key in enumerate(keys) if wanted.get(key["recording_id"]) == (key["version"], key["fingerprint"])]
    if not hits or (rows := _read(path)) is None:
        return {}
    return {row["recording_id"]: StageResult(**row) for row in rows.take(pa.array(hits)).to_pylist()}
