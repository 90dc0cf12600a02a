"""No query changes a lake: every kind of statement that DuckDB has, nested in every way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.views import connect, query
from sensory_pipeline.storage.local import objects
from sensory_pipeline_tests.audio_files import tone

DATA = "{data}"
"""Stands in statements for the folder that DuckDB may open files in."""

READS = (
    "SELECT 1 AS a",
    "SELECT uri AS a FROM recordings",
    "FROM words",
    "VALUES (1)",
    "DESCRIBE words",
    "SUMMARIZE speakers",
    "SHOW TABLES",
    "PIVOT recordings ON status USING count(*)",
    "UNPIVOT (SELECT 1 AS a, 2 AS b) ON a, b",
    f"SELECT * FROM glob('{DATA}/**')",
    "SELECT * FROM checkpoint()",
    "SELECT write_log('a')",
)
WRITES = (
    f"COPY (SELECT 1 AS a) TO '{DATA}/a.parquet'",
    f"COPY recordings TO '{DATA}/b' (FORMAT parquet, PARTITION_BY (shard), OVERWRITE true)",
    f"COPY (PIVOT recordings ON status USING count(*)) TO '{DATA}/a.csv'",
    f"COPY (SELECT 1 AS a) TO '{DATA}/a.parquet' (RETURN_FILES)",
    f"EXPORT DATABASE '{DATA}/a'",
    "COPY FROM DATABASE memory TO other",
    "INSERT INTO internal.missing VALUES ('a') RETURNING *",
    "UPDATE internal.missing SET recording_id = 'a' RETURNING *",
    "DELETE FROM internal.pending RETURNING *",
    "TRUNCATE internal.pending",
    "MERGE INTO internal.missing USING (SELECT 'a' a) s ON recording_id = a WHEN NOT MATCHED THEN INSERT RETURNING *",
    "CREATE TABLE mine AS SELECT 1 AS a",
    "CREATE TABLE mine AS PIVOT recordings ON status USING count(*)",
    "CREATE OR REPLACE VIEW words AS SELECT 1 AS a",
    "CREATE MACRO one() AS 1",
    "CREATE SCHEMA mine",
    "CREATE SEQUENCE mine",
    "DROP VIEW words",
    "DROP TABLE internal.pending",
    "ALTER VIEW words RENAME TO letters",
    "PREPARE asked AS INSERT INTO internal.missing VALUES ('a')",
    "EXECUTE asked",
    "BEGIN",
    "ANALYZE",
    "VACUUM",
    "SET lock_configuration = false",
    "SET VARIABLE a = 1",
    "RESET memory_limit",
    "EXPLAIN ANALYZE INSERT INTO internal.missing VALUES ('a')",
    "PRAGMA database_list",
    "PRAGMA enable_profiling = 'json'",
    f"PRAGMA export_database('{DATA}/a')",
    "CALL pragma_version()",
    f"ATTACH '{DATA}/a.duckdb' AS other",
    "DETACH memory",
    "USE internal",
    "LOAD httpfs",
    "INSTALL httpfs",
    "CHECKPOINT",
)
NESTINGS: tuple[Callable[[str], str], ...] = (
    lambda inner: f"WITH x AS ({inner}) SELECT * FROM x",
    lambda inner: f"WITH x AS MATERIALIZED ({inner}) SELECT 1",
    lambda inner: f"WITH x AS (SELECT 1), y AS ({inner}) FROM x, y",
    lambda inner: f"WITH RECURSIVE x AS (SELECT 1 AS a UNION ALL ({inner})) SELECT * FROM x LIMIT 2",
    lambda inner: f"SELECT * FROM ({inner})",
    lambda inner: f"FROM ({inner}) LIMIT 2",
    lambda inner: f"SELECT ({inner})",
    lambda inner: f"SELECT 1 WHERE EXISTS ({inner})",
    lambda inner: f"SELECT 1 UNION ALL ({inner})",
    lambda inner: f"({inner}) INTERSECT SELECT 1",
    lambda inner: f"PIVOT ({inner}) ON a USING count(*)",
    lambda inner: f"PIVOT (SELECT 1 AS a) ON a IN ({inner}) USING count(*)",
    lambda inner: f"DESCRIBE {inner}",
    lambda inner: f"SUMMARIZE {inner}",
    lambda inner: f"EXPLAIN {inner}",
    lambda inner: f"EXPLAIN ANALYZE {inner}",
    lambda inner: f"PREPARE p AS {inner}",
    lambda inner: f"CREATE TABLE mine AS {inner}",
    lambda inner: f"COPY ({inner}) TO '{DATA}/c.parquet'",
    lambda inner: f"INSERT INTO internal.missing {inner}",
    lambda inner: "SELECT * FROM query('" + inner.replace("'", "''") + "')",
    lambda inner: "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('" + inner.replace("'", "''") + "'))",
    lambda inner: f"SELECT 1) AS x; {inner}; (SELECT 1",
    lambda inner: f"SELECT 1; {inner}",
    lambda inner: f"{inner};; -- a comment",
    lambda inner: f"/* a comment; */ {inner} /* and /* another */ */",
)
STATEMENTS = st.builds(
    lambda inner, nestings: _nested(inner, nestings),
    st.sampled_from(READS + WRITES * 2),
    st.lists(st.sampled_from(NESTINGS), max_size=3),
)


def _nested(inner: str, nestings: list[Callable[[str], str]]) -> str:
    for nest in nestings:
        inner = nest(inner)
    return inner


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with a recording that waits, and a file among its data."""
    folder = tmp_path_factory.mktemp("writes")
    tone(folder / "in" / "a.wav", 500)
    lake = Lake.create(folder / "lake", shards=1, start_date=date(2024, 1, 1))
    lake.ledger.register(objects(folder / "in"), fingerprint=lambda _: "", shards=1, start_date=lake.start_date)
    (lake.root / "data").mkdir()
    duckdb.execute("COPY (SELECT 0 AS a) TO $file", {"file": str(lake.root / "data" / "a.parquet")})
    return lake.root


@pytest.fixture
def asked(root: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(Lake.open(root)) as db:
        yield db


def state(db: duckdb.DuckDBPyConnection, root: Path) -> object:
    """The files of the lake and of the current folder, tables, views and their rows."""
    files = sorted(
        (path, path.stat().st_mtime_ns, path.stat().st_size) for of in (root, Path()) for path in of.rglob("*")
    )
    catalog = [
        db.execute(f"SELECT {columns} FROM {of}() ORDER BY ALL").fetchall()
        for of, columns in {
            "duckdb_tables": "schema_name, table_name",
            "duckdb_views": "schema_name, view_name, sql",
            "duckdb_schemas": "schema_name",
            "duckdb_databases": "database_name",
        }.items()
    ]
    rows = [db.execute(f"SELECT * FROM internal.{table} ORDER BY ALL").fetchall() for table in ("missing", "pending")]
    return files, catalog, rows


def habits(db: duckdb.DuckDBPyConnection) -> object:
    """Settings and functions, which take longer to list."""
    return [
        db.execute(f"SELECT * FROM {of}() ORDER BY ALL").fetchall() for of in ("duckdb_settings", "duckdb_functions")
    ]


def test_no_statement_changes_anything(asked: duckdb.DuckDBPyConnection, root: Path, soak: bool) -> None:
    before, habits_before = state(asked, root), habits(asked)

    def ask(statement: str) -> None:
        with suppress(ConfigurationError, duckdb.Error):
            query(asked, statement.replace(DATA, str(root / "data"))).fetchmany(10)
        assert state(asked, root) == before, statement

    for nest in (lambda inner: inner, *NESTINGS):
        for write in WRITES if soak else WRITES[:8]:
            ask(nest(write))
    settings(max_examples=5000 if soak else 50, derandomize=not soak, deadline=None, database=None)(
        given(STATEMENTS)(ask)
    )()
    assert habits(asked) == habits_before


def test_the_statements_are_of_every_kind_that_duckdb_has() -> None:
    db = duckdb.connect()
    kinds = {statement.type.name for text in READS + WRITES for statement in db.extract_statements(text)}
    of_no_sql = {"INVALID", "RELATION", "EXTENSION", "LOGICAL_PLAN", "CREATE_FUNC"}
    parsed_as_others = {"ANALYZE", "VARIABLE_SET", "COPY_DATABASE"}  # VACUUM, SET and PRAGMA
    assert set(duckdb.StatementType.__members__) - of_no_sql - parsed_as_others <= kinds


@pytest.mark.parametrize("write", WRITES)
def test_other_statements_are_refused_by_name(write: str, asked: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises((ConfigurationError, duckdb.Error), match=r"only SELECT|give one"):
        query(asked, write)


INSERT = "WITH x AS (INSERT INTO internal.missing VALUES ('a') RETURNING *) SELECT * FROM x"
COPY = f"WITH x AS (COPY (SELECT 1 AS a) TO '{DATA}/a.parquet') SELECT * FROM x"


@pytest.mark.parametrize("write", [INSERT, COPY])
@pytest.mark.parametrize(
    "hide",
    [
        lambda inner: f"PIVOT (SELECT 1 AS a) ON a IN ({inner}) USING count(*)",
        lambda inner: f"SELECT * FROM json_execute_serialized_sql(json_serialize_sql({_quoted(inner)}))",
        lambda inner: f'FROM system.main."JSON_execute_serialized_sql" /**/ (json_serialize_sql({_quoted(inner)}))',
        lambda inner: (
            "FROM query('FROM json_execute_' || "
            + _quoted(f"serialized_sql(json_serialize_sql({_quoted(inner)}))")
            + ")"
        ),
        lambda inner: (
            "PIVOT (SELECT 1 AS a) ON a IN "
            f"(FROM json_execute_serialized_sql(json_serialize_sql({_quoted(inner)}))) USING count(*)"
        ),
    ],
)
def test_what_writes_while_it_is_bound_is_refused_before(
    hide: Callable[[str], str], write: str, asked: duckdb.DuckDBPyConnection, root: Path
) -> None:
    before = state(asked, root)
    with pytest.raises(ConfigurationError, match="only SELECT"):
        query(asked, hide(write.replace(DATA, str(root / "data"))))
    assert state(asked, root) == before


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@pytest.mark.parametrize("read", READS)
def test_reading_statements_are_answered(read: str, asked: duckdb.DuckDBPyConnection, root: Path) -> None:
    for end in ("", ";", " ;; -- that is all; really"):
        query(asked, read.replace(DATA, str(root / "data")) + end).fetchall()
