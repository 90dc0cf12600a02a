"""A forgotten recording: nothing of it is left anywhere below the lake, and it does not come back."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from sensory_pipeline.cli.app import app
from sensory_pipeline.core.recordings import recording_id
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.removal import below, forget
from sensory_pipeline.storage.local import uri_of
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.command import invoked, sensory
from sensory_pipeline_tests.lakes import ingested, rows, tables

SECRET = "mrs-smith"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name, length_ms in ((f"{SECRET}.wav", 771), ("other.wav", 600), ("third.wav", 610)):
        tone(tmp_path / "in" / name, length_ms)
    ingested(tmp_path / "in", tmp_path / "lake", shards=1)
    return tmp_path / "in"


def traces(root: Path) -> list[str]:
    """Files in which its name or its words can be read, plain or out of Parquet."""
    found = [path for path in root.rglob("*") if path.is_file() and ".dagster" not in path.parts]
    return sorted(str(path.relative_to(root)) for path in found if SECRET.encode() in _content(path))


def _content(path: Path) -> bytes:
    return repr(pq.read_table(path).to_pylist()).encode() if path.suffix == ".parquet" else path.read_bytes()


def test_nothing_is_left_and_the_others_stay(source: Path, tmp_path: Path) -> None:
    lake = Lake.open(tmp_path / "lake")
    identity = recording_id(uri_of(source / f"{SECRET}.wav"))
    others = {name: [row for row in found if identity not in row] for name, found in tables(lake.root).items()}
    assert traces(lake.root)
    assert len(list(lake.audio.glob("*.wav"))) == 3
    assert forget(lake, uri_of(source / f"{SECRET}.wav"))
    assert tables(lake.root) == others
    assert traces(lake.root) == []
    assert len(list(lake.audio.glob("*.wav"))) == 2


def test_it_is_not_registered_again(source: Path, tmp_path: Path) -> None:
    lake = Lake.open(tmp_path / "lake")
    forget(lake, uri_of(source / f"{SECRET}.wav"))
    tone(source / f"{SECRET}.wav", 772)
    assert ingested(source, lake.root, shards=1).runs == 0
    assert len(rows(lake.root, "SELECT * FROM recordings")) == 2
    assert traces(lake.root) == []


def test_a_pending_recording_can_be_forgotten(source: Path, tmp_path: Path) -> None:
    lake = Lake.open(tmp_path / "lake")
    added = tone(source / f"{SECRET}-2.wav", 800)

    def meanwhile() -> None:
        assert forget(lake, uri_of(added))

    ingested(source, lake.root, shards=1, meanwhile=meanwhile)
    assert {name for (name,) in rows(lake.root, "SELECT name FROM recordings")} == {
        f"{SECRET}.wav",
        "other.wav",
        "third.wav",
    }


def test_the_command(source: Path, tmp_path: Path) -> None:
    path = f"in/{SECRET}.wav"
    asked = invoked("forget", path, "--lake", "lake", cwd=tmp_path)
    assert asked.returncode == 2
    assert "give --yes" in asked.stderr
    assert len(rows(tmp_path / "lake", "SELECT * FROM recordings")) == 3
    done = sensory("forget", path, "--yes", "--lake", "lake", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "1 recording removed\n")
    again = invoked("forget", path, "--yes", "--lake", "lake", cwd=tmp_path)
    assert again.returncode == 0, "so that an interrupted one can be repeated"
    (tmp_path / "link").symlink_to("in")
    by_link = invoked("forget", "link/other.wav", "--yes", "--lake", "lake", cwd=tmp_path)
    assert (by_link.returncode, by_link.stderr) == (0, "1 recording removed\n")
    unknown = invoked("forget", "in/nobody.wav", "--yes", "--lake", "lake", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "has no in/nobody.wav" in unknown.stderr


def test_a_folder_is_shown_before_it_is_forgotten(source: Path, tmp_path: Path) -> None:
    def run(*arguments: str, answer: str = "") -> Result:
        return CliRunner().invoke(app, ["forget", *arguments, "--lake", "lake"], input=answer)

    tone(source / "inner" / "fourth.wav", 620)
    tone(source / "inner-not" / "fifth.wav", 630)
    ingested(source, tmp_path / "lake")
    (source / "inner" / "fourth.wav").unlink()
    ingested(source, tmp_path / "lake")
    inner = uri_of(source / "inner" / "fourth.wav")
    kept = run("in", answer="n\n")
    assert kept.exit_code == 1
    assert f"  {inner}" in kept.stderr.splitlines()
    assert "Remove 5 recordings" in kept.stderr
    # also what is missing from its source, and nothing whose name only begins so
    assert run("in/inner", "--yes").stderr == "1 recording removed\n"
    assert len(rows(tmp_path / "lake", "SELECT * FROM recordings", include_missing=True)) == 4
    assert run(source.as_uri(), answer="y\n").exit_code == 0
    assert rows(tmp_path / "lake", "SELECT * FROM recordings", include_missing=True) == []


def test_a_removal_that_was_interrupted_is_found_again_by_its_folder(source: Path, tmp_path: Path) -> None:
    lake = Lake.open(tmp_path / "lake")
    uri = uri_of(source / f"{SECRET}.wav")
    lake.ledger.forget(recording_id(uri))  # the first step of all
    assert uri in below(lake, source.as_uri() + "/")
