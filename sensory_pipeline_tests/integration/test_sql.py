"""Analysts may read the lake and nothing else."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from sensory_pipeline.core.errors import ConfigurationError, LakeMismatch
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.tables import TABLES
from sensory_pipeline.lake.view_definitions import view_columns
from sensory_pipeline.lake.views import connect, query
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.lakes import as_of_an_older_version, ingested


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sql")
    tone(folder / "in" / "a.wav", 500)
    ingested(folder / "in", folder / "lake", shards=1, workers=1)
    return folder / "lake"


def test_views_bind_on_an_empty_lake(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path / "lake", shards=2, start_date=date(2024, 1, 1))
    with connect(lake) as db:
        for table in TABLES:
            assert db.execute(f"SELECT * FROM {table.name}").fetchall() == []


@pytest.mark.parametrize("empty", [True, False])
def test_views_are_as_documented(empty: bool, root: Path, tmp_path: Path) -> None:
    lake = Lake.create(tmp_path / "lake", shards=2, start_date=date(2024, 1, 1)) if empty else Lake.open(root)
    with connect(lake) as db:
        for table in TABLES:
            described = [(c[0], str(c[1])) for c in db.execute(f"SELECT * FROM {table.name} LIMIT 0").description or ()]
            assert described == [(name, kind) for name, kind, _ in view_columns(table)], table.name


NEW = ["undecoded_ms", "track", "remarks"]


def test_files_of_an_older_version_lack_columns(tmp_path: Path) -> None:
    tone(tmp_path / "in" / "a.wav", 500)
    ingested(tmp_path / "in", tmp_path / "lake", shards=1, workers=1)
    for table, column in (("segments", ["language"]), ("recordings", ["untranscribed_ms", *NEW])):
        as_of_an_older_version(tmp_path / "lake", table, column)
    with connect(Lake.open(tmp_path / "lake")) as db:
        ((text, language),) = db.execute("SELECT text, language FROM segments").fetchall()
        found = db.execute("SELECT status, untranscribed_s, undecoded_s, track, remarks FROM recordings").fetchall()
        assert found == [("ok", None, None, None, None)]
    assert text
    assert language is None
    tone(tmp_path / "in" / "b.wav", 700)
    ingested(tmp_path / "in", tmp_path / "lake", shards=1, workers=1)
    with connect(Lake.open(tmp_path / "lake")) as db:
        assert len(db.execute("SELECT text FROM segments").fetchall()) == 2
        found = db.execute("SELECT untranscribed_s, undecoded_s FROM recordings ORDER BY uri").fetchall()
        assert found == [(None, None), (0.0, 0.0)]


def test_every_column_is_described() -> None:
    for table in TABLES:
        assert table.description
        for name, _, description in view_columns(table):
            assert description, name
        assert table.schema.field(0).metadata[b"description"]


def test_names_can_be_typed_unquoted() -> None:
    db = duckdb.connect()
    for table in TABLES:
        for name, _, _ in view_columns(table):
            db.execute(f"SELECT 1 AS {name} ORDER BY {name}")


@pytest.mark.parametrize(
    "statement",
    [
        "DROP VIEW words",
        "CREATE TABLE mine AS SELECT 1",
        "COPY (SELECT 1) TO 'out.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'out.csv'",
        "ATTACH 'other.db'",
        "SET enable_external_access = true",
        "PRAGMA database_list",
        "INSERT INTO base_words VALUES (1)",
        "SELECT 1; SELECT 2",
        "",
    ],
)
def test_only_one_select_is_run(statement: str, root: Path) -> None:
    with connect(Lake.open(root)) as db, pytest.raises(ConfigurationError):
        query(db, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/*')",
    ],
)
def test_nothing_else_can_be_read(statement: str, root: Path) -> None:
    with connect(Lake.open(root)) as db, pytest.raises(duckdb.Error):
        query(db, statement).fetchall()


def test_a_folder_that_is_no_lake(tmp_path: Path) -> None:
    with pytest.raises(LakeMismatch, match="sensory ingest"):
        Lake.open(tmp_path)
    (tmp_path / "somebody.txt").write_text("mine")
    with pytest.raises(LakeMismatch, match=r"somebody\.txt"):
        Lake.create(tmp_path, shards=2, start_date=date(2024, 1, 1))


def test_a_value_of_the_wrong_type_is_refused() -> None:
    words = next(table for table in TABLES if table.name == "words")
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError, AttributeError)):
        words.arrow([words.row(**dict.fromkeys((c.name for c in words.columns), "x"))])
