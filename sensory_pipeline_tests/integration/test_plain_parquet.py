"""What pandas, Polars, DuckDB or Spark find in data/ is what is published, after every interruption of a commit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sensory_pipeline.core.recordings import recording_id
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.plain_files import is_shown
from sensory_pipeline.lake.publication import publish, recover
from sensory_pipeline.lake.removal import forget
from sensory_pipeline.lake.views import connect
from sensory_pipeline.storage.local import uri_of
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.lakes import ingested, plain, published

KILLED_COMMITS = """
import os, signal, subprocess, sys
from itertools import count
from pathlib import Path
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.publication import publish

whole, copies, identity, step = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])

def die_before(number):
    changes = count()
    def hook(event, _):
        if event in ("os.rename", "os.link", "os.remove", "os.utime") and next(changes) == number:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

for number in range(0, 1000, step):
    root = copies / str(number)
    subprocess.run(["cp", "-a", whole, root], check=True)
    child = os.fork()
    if not child:
        die_before(number)
        lake = Lake.open(root)
        ((partition, base),) = lake.published()
        publish(lake, partition, run_id="killed", base=base, recordings={}, rows=[], removed=[identity])
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""
"""Commits that take out one recording, each killed before another change of a file, and at last one that is not."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of four recordings, beside its source."""
    folder = tmp_path_factory.mktemp("plain")
    for length in (300, 310, 320, 330):
        tone(folder / "in" / f"{length}.wav", length)
    ingested(folder / "in", folder / "lake")
    return folder / "lake"


@pytest.fixture
def lake(whole: Path, tmp_path: Path) -> Lake:
    subprocess.run(["cp", "-a", whole, tmp_path / "lake"], check=True)
    return Lake.open(tmp_path / "lake")


def test_plain_readers_see_what_is_published(whole: Path, lake: Lake, tmp_path: Path) -> None:
    shutil.copytree(whole.parent / "in", tmp_path / "in")
    ingested(tmp_path / "in", lake.root)  # other uris: all are new, and the old ones stay
    assert plain(lake.root) == published(lake.root)
    tone(tmp_path / "in" / "310.wav", 900)
    (tmp_path / "in" / "320.wav").unlink()
    assert ingested(tmp_path / "in", lake.root, retry_failed=True).missing == 1
    forget(lake, uri_of(tmp_path / "in" / "330.wav"))
    found = plain(lake.root)
    assert found == published(lake.root)
    assert len(found["recordings"]) == 7, "and what is missing from its source has its rows"
    for path in (lake.root / "data").rglob("*"):
        assert path.is_dir() or path.name == "rows.parquet"
    words = pq.read_table(lake.root / "data" / "words")  # as pandas does
    assert words.num_rows == len(found["words"])


def test_a_commit_can_be_killed_anywhere(whole: Path, soak: bool, tmp_path: Path) -> None:
    gone = recording_id(uri_of(whole.parent / "in" / "300.wav"))
    step = 1 if soak else 7
    subprocess.run([sys.executable, "-c", KILLED_COMMITS, whole, tmp_path, gone, str(step)], check=True)
    before = plain(whole)
    after = {name: [row for row in found if gone not in row] for name, found in before.items()}
    killed = sorted(tmp_path.iterdir(), key=lambda path: int(path.name))
    assert [published(root) == after for root in (killed[0], killed[-1])] == [False, True]
    halfway = 0
    for root in killed:
        for name, found in plain(root).items():
            assert found in (before[name], after[name]), (root.name, name)
        lake = Lake.open(root)
        ((partition, current),) = lake.published()
        halfway += not is_shown(root, current)
        with lake.lease(partition):
            recover(lake, partition)
        assert plain(root) == published(root) in (before, after)
        assert not [path for path in (root / "data").rglob("*") if path.is_file() and path.name != "rows.parquet"]
    assert halfway, "one was killed between its manifest and its last table"


def test_a_file_stays_for_a_reader_that_was_there_before(lake: Lake) -> None:
    for path in (lake.root / "generations").rglob("*.parquet"):
        os.utime(path, (0, 0))  # it has been current for years
    ((partition, base),) = lake.published()
    with connect(lake) as db:
        count = db.execute("SELECT count(*) FROM words").fetchone()
        publish(lake, partition, run_id="later", base=base, recordings={}, rows=[], removed=list(base.recordings))
        assert db.execute("SELECT count(*) FROM words").fetchone() == count
    assert plain(lake.root)["words"] == []


def test_files_of_an_older_version_make_room(lake: Lake) -> None:
    ((partition, base),) = lake.published()
    shutil.rmtree(lake.root / "data")
    (lake.root / "generations").rename(lake.root / "data")
    tables = {
        name: entry.model_copy(update={"path": entry.path.replace("generations/", "data/")})
        for name, entry in base.tables.items()
    }
    for manifest in lake.manifests.rglob("*.json"):
        manifest.write_text(base.model_copy(update={"tables": tables}).model_dump_json())
    before = plain(lake.root)
    assert before == published(lake.root)
    ((partition, base),) = lake.published()
    publish(lake, partition, run_id="new", base=base, recordings={}, rows=[])
    assert plain(lake.root) == published(lake.root) == before
