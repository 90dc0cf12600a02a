"""What goes wrong and passes: afterwards the tables are as if it had not been."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import psutil
import pytest

from sensory_pipeline.core.errors import ConfigurationError, LakeDamaged, LakeMismatch
from sensory_pipeline.core.process_request import DiarizationSettings, ProcessRequest
from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.diarization.channels import ChannelDiarizer
from sensory_pipeline.lake.attempts import MAX_ATTEMPTS
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.views import connect
from sensory_pipeline.processing.plans import make_plan
from sensory_pipeline.processing.runs.runner import Runner
from sensory_pipeline.processing.setup import runner
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage.local import objects
from sensory_pipeline_tests import trivial_engines as engines
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.lakes import ingested, rows

START = date(2024, 1, 1)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for length in (300, 310, 320, engines.CULPRIT_MS):
        tone(tmp_path / "in" / f"{length}.wav", length)
    return tmp_path / "in"


@contextmanager
def one_partition(source: Path, root: Path) -> Iterator[tuple[Lake, Runner, Partition]]:
    """A lake that has registered the source, and what would process it."""
    lake = Lake.create(root, shards=1, start_date=START, ledger=Settings().ledger)
    with runner(Settings(lake=root, shards=1, workers=2), engines=engines.trivial) as ready:
        lake.ledger.register(
            objects(source), fingerprint=lambda _: ready.context.plans.default.fingerprint, shards=1, start_date=START
        )
        (partition,) = lake.ledger.pending_partitions()
        yield lake, ready, partition


def test_a_half_written_chunk_is_ignored(source: Path, tmp_path: Path) -> None:
    with one_partition(source, tmp_path / "lake") as (lake, ready, partition):
        ready.run_stage(lake, Stage.NORMALIZED_AUDIO, partition, "run")
        (chunk,) = (tmp_path / "lake" / "stages" / "normalized_audio").rglob("*.parquet")
        half = chunk.with_name(f".{chunk.name}.0123.tmp")
        half.write_bytes(chunk.read_bytes()[:100])
        os.utime(half, (0, 0))
        assert ready.run_stage(lake, Stage.NORMALIZED_AUDIO, partition, "run").reused == 4
        assert not half.exists()


def test_a_damaged_chunk_is_made_again(source: Path, tmp_path: Path) -> None:
    with one_partition(source, tmp_path / "lake") as (lake, ready, partition):
        ready.run_stage(lake, Stage.NORMALIZED_AUDIO, partition, "run")
        (chunk,) = (tmp_path / "lake" / "stages" / "normalized_audio").rglob("*.parquet")
        chunk.write_bytes(b"junk" * 100)
        assert ready.run_stage(lake, Stage.NORMALIZED_AUDIO, partition, "run").computed == 4
        assert ready.run_stage(lake, Stage.NORMALIZED_AUDIO, partition, "run").reused == 4


@pytest.mark.usefixtures("ledger")
def test_a_recording_out_of_reach_for_long_is_done_in_the_end(source: Path, tmp_path: Path) -> None:
    away = source / "300.wav"
    with one_partition(source, tmp_path / "lake") as (lake, ready, partition):
        stat = away.stat()
        content = away.read_bytes()
        away.unlink()
        for _ in range(MAX_ATTEMPTS + 2):
            report = ready.run_stage(lake, Stage.NORMALIZED_AUDIO, partition, "run")
            assert (report.deferred, report.failed) == (1, 0)
        away.write_bytes(content)
        os.utime(away, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        report = ready.run_stage(lake, Stage.NORMALIZED_AUDIO, partition, "run")
        assert (report.computed, report.reused, report.deferred) == (1, 3, 0)


def test_a_full_disk_is_not_the_recordings_fault(source: Path, tmp_path: Path) -> None:
    with one_partition(source, tmp_path / "lake") as (lake, ready, partition):
        lake.audio.write_bytes(b"in the way of the folder")
        report = ready.run_stage(lake, Stage.NORMALIZED_AUDIO, partition, "run")
        assert (report.computed, report.deferred) == (0, 4)
        assert {"audio" in str(item.note) for item in lake.ledger.pending(partition)} == {True}
        lake.audio.unlink()
        assert ready.run_stage(lake, Stage.NORMALIZED_AUDIO, partition, "run").computed == 4


@pytest.mark.parametrize("server", [False, True], ids=["one by one", "with the server that starts them"])
def test_the_death_of_idle_processes_changes_nothing(server: bool, source: Path, tmp_path: Path) -> None:
    with one_partition(source, tmp_path / "lake") as (lake, ready, partition):
        ready.run_stage(lake, Stage.NORMALIZED_AUDIO, partition, "run")
        (forking,) = (child for child in psutil.Process().children() if "forkserver" in " ".join(child.cmdline()))
        idle = forking.children()
        assert idle
        for killed in [forking] if server else idle:
            killed.send_signal(signal.SIGKILL)
        psutil.wait_procs(idle, timeout=10)
        time.sleep(0.1)
        report = ready.run_stage(lake, Stage.TRANSCRIPTS, partition, "run")
        assert (report.computed, report.failed) == (4, 0)
        assert {(item.attempts, item.crashes) for item in lake.ledger.pending(partition)} == {(0, 0)}


def test_a_crash_in_one_stage_does_not_count_in_another(source: Path, tmp_path: Path) -> None:
    ingested(source, tmp_path / "lake", engines=engines.segfaulting_in_diarization, shards=1)
    found = "SELECT name, error_class, error_stage FROM recordings WHERE status = 'failed'"
    assert rows(tmp_path / "lake", found) == [(f"{engines.CULPRIT_MS}.wav", "Crashed", "diarization")]
    # as after a change of the diarization's model
    report = ingested(source, tmp_path / "lake", engines=engines.trivial, shards=1, speakers=1)
    assert (report.published, report.failed) == (4, 0)
    assert report.computed["transcripts"] == 0


def test_engines_that_fail_on_everything_are_not_the_recordings_fault(tmp_path: Path) -> None:
    for length in range(300, 322):
        tone(tmp_path / "in" / f"{length}.wav", length)
    report = ingested(tmp_path / "in", tmp_path / "lake", engines=engines.broken, shards=1)
    assert report.published == 0
    assert "the device is lost" in report.run_failures[0]
    assert rows(tmp_path / "lake", "SELECT DISTINCT status FROM recordings") == [("pending",)]
    report = ingested(tmp_path / "in", tmp_path / "lake", shards=1)
    assert (report.published, report.failed) == (22, 0)


def test_recordings_in_an_unreadable_folder_are_not_missing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hidden = tone(source / "sub" / "330.wav", 330)
    ingested(source, tmp_path / "lake", shards=1)
    scandir = os.scandir

    def refused(path: str) -> object:  # root may list everything, so the kernel will not say it
        if str(path).endswith("/sub"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    assert ingested(source, tmp_path / "lake", shards=1).missing == 0
    assert str(hidden.parent) in caplog.text
    gone = "SELECT count(*) FROM recordings WHERE NOT present"
    assert rows(tmp_path / "lake", gone, include_missing=True) == [(0,)]


def test_the_limit_of_a_run_includes_decoded_recordings(source: Path, tmp_path: Path) -> None:
    ingested(source, tmp_path / "lake", shards=1)
    report = ingested(source, tmp_path / "lake", shards=1, run_audio_hours=0.5 / 3600, speakers=1)
    assert report.published == 4
    assert report.computed["normalized_audio"] == 0
    assert report.runs >= 2


def test_a_half_created_lake_is_completed(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path / "lake", shards=2, start_date=START)
    (lake.root / "lake.json").unlink()
    assert Lake.create(tmp_path / "lake", shards=2, start_date=START).shards == 2


def test_a_refused_folder_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(LakeMismatch, match=r"mine\.txt"):
        Lake.create(tmp_path, shards=2, start_date=START)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_start_of_a_lake_is_frozen(tmp_path: Path) -> None:
    Lake.create(tmp_path / "lake", shards=2, start_date=START)
    with pytest.raises(LakeMismatch, match="2024-01-01"):
        Lake.create(tmp_path / "lake", shards=2, start_date=START + timedelta(days=1))
    with pytest.raises(ConfigurationError, match="in the future"):
        Lake.create(tmp_path / "other", shards=2, start_date=date.max)


def test_a_path_that_looks_like_a_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LakeMismatch, match="uri=prod"):
        Lake.create(tmp_path / "uri=prod" / "lake", shards=2, start_date=START)
    assert not (tmp_path / "uri=prod").exists()


@pytest.mark.parametrize("file", ["ledger.sqlite", "manifests", "generations"])
def test_a_damaged_lake_says_which_file(file: str, source: Path, tmp_path: Path) -> None:
    ingested(source, tmp_path / "lake", shards=1)
    path = tmp_path / "lake" / file
    for victim in [path] if path.is_file() else [found for found in path.rglob("*") if found.is_file()]:
        victim.write_bytes(b"junk" * 1000)
    for rest in tmp_path.glob("lake/ledger.sqlite-*"):
        rest.unlink()
    with pytest.raises(LakeDamaged, match=file), connect(Lake.open(tmp_path / "lake")):
        pass


@pytest.mark.usefixtures("ledger")
def test_queries_write_nothing(source: Path, tmp_path: Path) -> None:
    ingested(source, tmp_path / "lake", shards=1)
    before = _written(tmp_path / "lake")
    with connect(Lake.open(tmp_path / "lake", ledger=Settings().ledger)) as db:
        assert db.execute("SELECT count(*) FROM recordings").fetchone() == (4,)
    assert _written(tmp_path / "lake") == before


def _written(root: Path) -> dict[Path, int]:
    """Everything but the locks that SQLite puts beside its file where it may."""
    locks = ("ledger.sqlite-shm", "ledger.sqlite-wal")
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.name not in locks and path.is_file()}


def test_a_setting_that_the_engine_ignores_redoes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    stereo = replace(engines.trivial(), diarizer=ChannelDiarizer())
    plain = make_plan(ProcessRequest(stereo=True), stereo)
    assert not caplog.records
    other = make_plan(ProcessRequest(stereo=True, dia=DiarizationSettings(speakers=2)), stereo)
    assert other.fingerprint == plain.fingerprint
    assert "channels ignores speakers" in caplog.text
