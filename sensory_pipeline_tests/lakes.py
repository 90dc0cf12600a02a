"""A lake, a Dagster instance and engines of a test's choosing, driven like `sensory ingest` does."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
import duckdb
import pyarrow.parquet as pq

from sensory_pipeline.automation.ingest_report import IngestReport
from sensory_pipeline.automation.instance import open_instance
from sensory_pipeline.automation.registration import register
from sensory_pipeline.automation.run_pending import run_pending
from sensory_pipeline.definitions import build
from sensory_pipeline.engines.selection import EngineFactory
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.tables import TABLES
from sensory_pipeline.lake.view_definitions import view_columns
from sensory_pipeline.lake.views import connect
from sensory_pipeline.processing.setup import runner
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests.trivial_engines import trivial

INCIDENTAL = {"run_id", "published_at", "made_at", "pipeline_version"}
"""Columns that say when and by which run, not what."""


def ingested(
    source: Path | str,
    root: Path,
    *,
    engines: EngineFactory | None = trivial,
    retry_failed: bool = False,
    meanwhile: Callable[[], None] = lambda: None,
    history: bool = False,
    **settings: Any,
) -> IngestReport:
    """`sensory ingest` with these engines, the settings' own when None.

    One engine process and one shard, unless settings say otherwise: two seconds of the processor instead of seven.
    meanwhile: called after the listing, before each run.
    history: whether Dagster keeps its history beside the lake, as the command does; in memory it takes 0.5 s less.
    """
    chosen = Settings(lake=root, **{"shards": 1, "workers": 1, "side_by_side": False, **settings})
    lake = Lake.create(root, shards=chosen.shards, start_date=chosen.start_date, ledger=chosen.ledger)
    with runner(chosen, engines=engines) as ready:
        report = register(lake, ready.context.plans, str(source), ready.context.access, retry_failed=retry_failed)
        if history and not (root / ".dagster").exists():
            shutil.copytree(_empty_instance().name, root / ".dagster")
        with open_instance(root / ".dagster") if history else dg.DagsterInstance.ephemeral() as instance:
            job = build(chosen, lake=lake, engines=ready).resolve_job_def("process_recordings")
            run_pending(lake, job, instance, ready, report, run_started=lambda _partition: meanwhile())
    return report


@cache
def _empty_instance() -> TemporaryDirectory[str]:
    """The home of a Dagster instance without runs: to copy it takes a hundredth of the time to create another."""
    home = TemporaryDirectory()
    with open_instance(Path(home.name)):
        return home


def rows(root: Path, sql: str, *, include_missing: bool = False) -> list[tuple[Any, ...]]:
    """The answer to a query on the lake."""
    with connect(Lake.open(root, ledger=Settings().ledger), include_missing=include_missing) as db:
        return db.execute(sql).fetchall()


def tables(root: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Everything published, without what is incidental, in order."""
    found = {}
    with connect(Lake.open(root, ledger=Settings().ledger)) as db:
        for table in TABLES:
            names = [c[0] for c in db.execute(f"SELECT * FROM {table.name} LIMIT 0").description or ()]
            kept = ", ".join(name for name in names if name not in INCIDENTAL)
            found[table.name] = sorted(db.execute(f"SELECT {kept} FROM {table.name}").fetchall(), key=repr)
    return found


def plain(root: Path) -> dict[str, list[tuple[Any, ...]]]:
    """What a plain Parquet reader finds in data/: each table, its times in seconds, in order."""
    found = {}
    for table in TABLES:
        own = ", ".join(f"{c.name} / 1000.0" if c.name.endswith("_ms") else c.name for c in table.columns)
        rows = duckdb.execute(
            f"SELECT {own}, date, shard FROM read_parquet('{root}/data/{table.name}/**/*.parquet',"
            " hive_partitioning = true, union_by_name = true)"
        )
        found[table.name] = sorted(rows.fetchall(), key=repr)
    return found


def published(root: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The same from the views, also of recordings that are missing, without those that wait."""
    found = {}
    with connect(Lake.open(root, ledger=Settings().ledger), include_missing=True) as db:
        for table in TABLES:
            own = ", ".join(name for name, _, _ in view_columns(table)[: len(table.columns)])
            only = " WHERE status <> 'pending'" if table.name == "recordings" else ""
            rows = db.execute(f"SELECT {own}, date, shard FROM {table.name}{only}")
            found[table.name] = sorted(rows.fetchall(), key=repr)
    return found


def data_files(root: Path) -> dict[str, str]:
    """Published data files and manifests by path, as digests of their bytes."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("generations", "manifests")
        for path in sorted((root / folder).rglob("*"))
        if path.is_file()
    }


def as_of_an_older_version(root: Path, table: str, columns: Sequence[str]) -> None:
    """The table's files without these columns, and manifests without checksums."""
    for file in (root / "generations" / table).rglob("*.parquet"):
        pq.write_table(pq.read_table(file, partitioning=None).drop_columns(list(columns)), file)
    for file in (root / "manifests").rglob("*.json"):
        document = json.loads(file.read_text())
        document.pop("checksum", None)
        for entry in document["tables"].values():
            entry.pop("checksum", None)
        file.write_text(json.dumps(document))
