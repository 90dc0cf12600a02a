"""Each rule for the tables of a partition finds the rows that break it."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from sensory_pipeline.lake.invariants import violations
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.tables import TABLES
from sensory_pipeline.lake.views import connect
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.lakes import ingested

BROKEN = {
    "INSERT INTO recordings FROM recordings": "a recording appears twice",
    "UPDATE recordings SET error_class = 'Odd'": "a recording is ok with an error, or failed or partial without one",
    "UPDATE recordings SET words = 2": "a recording's word count is not its number of words",
    "UPDATE words SET start_ms = 5000, end_ms = 5001": "a word lies outside its utterance, or is another speaker's",
    "UPDATE words SET speaker = NULL": "a word lies outside its utterance, or is another speaker's",
    "DELETE FROM utterances": "a word has no utterance",
    "UPDATE words SET speaker = 'B'": "a word's speaker has no turn",
    "INSERT INTO embeddings BY NAME SELECT recording_id, 'B' AS speaker FROM recordings": (
        "an embedding's speaker has no turn"
    ),
    "UPDATE emotions SET angry = 0.9": "probabilities of an emotion do not sum to 1",
    "DELETE FROM recordings": "words of a recording that is not ok",
    "UPDATE recordings SET status = 'failed'": "turns of a recording that is not ok",
    "UPDATE turns SET end_ms = start_ms - 1": "turns end before they start, or after the recording",
    "UPDATE recordings SET duration_ms = 1": "words end before they start, or after the recording",
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    root = tmp_path_factory.mktemp("rules")
    tone(root / "in" / "a.wav", 300)
    ingested(root / "in", root / "lake")
    return Lake.open(root / "lake")


@pytest.fixture
def copy(lake: Lake) -> Iterator[duckdb.DuckDBPyConnection]:
    """The tables of the lake, which can be changed."""
    with connect(lake) as published, duckdb.connect(":memory:") as db:
        db.execute("CREATE SCHEMA internal")
        db.execute("SET schema = 'internal'")
        for table in TABLES:
            db.register("found", published.sql(f"FROM internal.{table.name}").to_arrow_table())
            db.execute(f"CREATE TABLE {table.name} AS FROM found")
            db.unregister("found")
        yield db


def test_tables_as_published_break_no_rule(copy: duckdb.DuckDBPyConnection) -> None:
    assert violations(copy) == {}


@pytest.mark.parametrize(("change", "rule"), BROKEN.items())
def test_broken_tables_are_found(copy: duckdb.DuckDBPyConnection, change: str, rule: str) -> None:
    copy.execute(change)
    assert violations(copy)[rule] > 0
