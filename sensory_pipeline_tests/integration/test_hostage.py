"""Files that are made to do harm keep nobody else's results."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.workers.stage_queue import MAX_CRASHES
from sensory_pipeline.storage.local import objects
from sensory_pipeline_tests import trivial_engines as engines
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.lakes import ingested, rows

START = date(2024, 1, 1)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """21 culprits and 3 good ones."""
    for index in range(21):
        tone(tmp_path / "in" / f"culprit{index}.wav", engines.CULPRIT_MS)
    for length in (300, 310, 320):
        tone(tmp_path / "in" / f"{length}.wav", length)
    return tmp_path / "in"


def test_files_that_kill_their_process_are_the_cause_if_others_succeed(source: Path, tmp_path: Path) -> None:
    lake = Lake.create(tmp_path / "lake", shards=1, start_date=START)
    lake.ledger.register(objects(source), fingerprint=lambda _: "", shards=1, start_date=START)
    (partition,) = lake.ledger.pending_partitions()
    for item in lake.ledger.pending(partition):
        if "culprit" in item.recording.uri:
            for _ in range(MAX_CRASHES):  # in a run before this one
                lake.ledger.attempts.crashed(item.recording, "it was ended by SIGSEGV")
    report = ingested(source, tmp_path / "lake", shards=1)
    assert (report.run_failures, report.published, report.failed, report.pending) == ([], 24, 21, 0)
    assert rows(tmp_path / "lake", "SELECT status, error_class, count(*) FROM recordings GROUP BY ALL ORDER BY 3") == [
        ("ok", None, 3),
        ("failed", "Crashed", 21),
    ]


def test_good_recordings_are_published_before_a_run_fails(source: Path, tmp_path: Path) -> None:
    report = ingested(source, tmp_path / "lake", engines=engines.refusing, shards=1)
    assert "the engine failed on 21 of 24" in report.run_failures[0]
    assert (report.published, report.failed, report.pending) == (3, 0, 21)
    assert rows(tmp_path / "lake", "SELECT count(*) FROM words") == [(3,)]
    report = ingested(source, tmp_path / "lake", shards=1)
    assert (report.run_failures, report.published, report.pending) == ([], 21, 0)
