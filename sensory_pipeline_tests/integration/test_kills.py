"""kill -9 at any moment, and two ingests at once: the same tables, nothing twice, nothing lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from sensory_pipeline.core.errors import StaleWriter
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.manifest import Manifest
from sensory_pipeline.lake.publication import publish
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.lakes import ingested, plain, published, rows, tables
from sensory_pipeline_tests.live_processes import lives

RECORDINGS = 8
INGEST = """
import sys
from pathlib import Path
from sensory_pipeline_tests.lakes import ingested
from sensory_pipeline_tests.trivial_engines import slow
if __name__ == "__main__":
    report = ingested(Path(sys.argv[1]), Path(sys.argv[2]), engines=slow, history=True)
    sys.exit(1 if report.run_failures or report.pending else 0)
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for index in range(RECORDINGS):
        tone(tmp_path / "in" / f"{index}.wav", 300 + 10 * index)
    (tmp_path / "in" / "empty.wav").write_bytes(b"")
    return tmp_path / "in"


def start(source: Path, root: Path) -> subprocess.Popen[bytes]:
    script = root.parent / "run_ingest.py"
    script.write_text(INGEST)
    (root / ".dagster").mkdir(parents=True, exist_ok=True)  # Dagster's tables are made by whoever comes first
    with (root.parent / "ingest.log").open("ab") as log:
        return subprocess.Popen([sys.executable, str(script), str(source), str(root)], stdout=log, stderr=log)


def descendants(root: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(root).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def test_kills_at_random_moments(source: Path, tmp_path: Path, soak: bool) -> None:
    moments = random.Random(7)
    undisturbed = start(source, tmp_path / "calm")
    began = time.monotonic()
    assert undisturbed.wait(300) == 0
    length_s = time.monotonic() - began
    for _ in range(20 if soak else 2):
        process = start(source, tmp_path / "lake")
        time.sleep(moments.uniform(0.2, 0.9) * length_s)
        engines = descendants(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 60  # one that was still starting looks for its parent at the end of that
        while any(lives(pid) for pid in engines) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not [pid for pid in engines if lives(pid)], "engines outlived their run"
    assert start(source, tmp_path / "lake").wait(300) == 0, (tmp_path / "ingest.log").read_text()
    assert tables(tmp_path / "lake") == tables(tmp_path / "calm")
    assert len(rows(tmp_path / "lake", "SELECT * FROM recordings")) == RECORDINGS + 1


def test_two_ingests_at_once(source: Path, tmp_path: Path) -> None:
    both = [start(source, tmp_path / "lake") for _ in range(2)]
    assert [process.wait(300) for process in both] == [0, 0], (tmp_path / "ingest.log").read_text()
    ingested(source, tmp_path / "calm")
    assert tables(tmp_path / "lake") == tables(tmp_path / "calm")
    done = [
        (path.parts[-4], row["recording_id"], row["fingerprint"])
        for path in (tmp_path / "lake" / "stages").rglob("*.parquet")
        for row in pq.read_table(path, partitioning=None).to_pylist()
    ]
    assert len(done) == len(set(done)), "something was worked on twice"


@pytest.mark.usefixtures("ledger")
def test_a_kill_between_commit_and_ledger_is_noticed(source: Path, tmp_path: Path) -> None:
    ingested(source, tmp_path / "lake")
    lake = Lake.open(tmp_path / "lake", ledger=Settings().ledger)
    with lake.database.writing() as db:  # as if killed before `settle`
        db.execute("UPDATE recordings SET status = 'pending', fingerprint = NULL")
    report = ingested(source, tmp_path / "lake")
    assert (report.published, report.runs) == (0, 0)


def test_files_of_a_commit_that_never_happened_do_not_exist(source: Path, tmp_path: Path) -> None:
    ingested(source, tmp_path / "lake")
    before = tables(tmp_path / "lake")
    for path in (tmp_path / "lake" / "generations").rglob("*.parquet"):
        (path.parent / "000099-killed.parquet").write_bytes(path.read_bytes())
    assert tables(tmp_path / "lake") == before
    assert plain(tmp_path / "lake") == published(tmp_path / "lake")


def test_a_writer_that_was_overtaken_fails(source: Path, tmp_path: Path) -> None:
    ingested(source, tmp_path / "lake")
    lake = Lake.open(tmp_path / "lake")
    partition, current = next(lake.published())
    before = tables(tmp_path / "lake")
    stale = Manifest(generation=current.generation - 1)
    with pytest.raises(StaleWriter, match=partition.key.replace("|", r"\|")):
        publish(lake, partition, run_id="late", base=stale, recordings={}, rows=[])
    assert tables(tmp_path / "lake") == before
