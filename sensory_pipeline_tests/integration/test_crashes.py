"""An engine that crashes, hangs or eats memory on one recording, seen from the tables."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from sensory_pipeline.engines.selection import EngineFactory
from sensory_pipeline.lake.attempts import MAX_ATTEMPTS
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.storage.local import objects
from sensory_pipeline_tests import trivial_engines as engines
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.lakes import ingested, rows


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for length in (300, 310, 320, engines.CULPRIT_MS):
        tone(tmp_path / "in" / f"{length}.wav", length)
    return tmp_path / "in"


@pytest.mark.parametrize(
    ("factory", "error", "message"),
    [
        (engines.segfaulting, "Crashed", "SIGSEGV"),
        (engines.hanging, "Crashed", "no sign of life"),
        (engines.eating_memory, "Crashed", "MB of memory"),
        (engines.raising, "EngineError", "RuntimeError"),
    ],
    ids=["segfault", "hang", "memory", "exception"],
)
def test_one_recording_fails_and_the_others_are_done(
    factory: EngineFactory, error: str, message: str, source: Path, tmp_path: Path
) -> None:
    # the limit grows by ten times the recording's length, so the culprit is a short one; on a machine that is busy
    # it takes seconds to fill the memory
    silent_s = 1 if factory is engines.hanging else 60
    report = ingested(
        source, tmp_path / "lake", engines=factory, shards=1, recording_timeout_s=silent_s, worker_memory_mb=600
    )
    assert (report.published, report.failed, report.pending) == (4, 1, 0)
    assert report.run_failures == []
    ((name, found, why, stage),) = rows(
        tmp_path / "lake",
        "SELECT parse_filename(uri), error_class, error_message, error_stage FROM recordings WHERE status = 'failed'",
    )
    assert (name, found, stage) == (f"{engines.CULPRIT_MS}.wav", error, "transcripts")
    assert message in why
    assert ("`sensory ingest --retry-failed` tries it again" in why) == (error == "Crashed")
    assert rows(tmp_path / "lake", "SELECT count(*) FROM words") == [(3,)]


def test_a_retry_with_a_repaired_engine_succeeds(source: Path, tmp_path: Path) -> None:
    ingested(source, tmp_path / "lake", engines=engines.raising, shards=1)
    report = ingested(source, tmp_path / "lake", engines=engines.trivial, shards=1, retry_failed=True)
    assert (report.published, report.failed) == (1, 0)
    assert report.computed["transcripts"] == 1
    assert rows(tmp_path / "lake", "SELECT count(*) FROM recordings WHERE status = 'ok'") == [(4,)]


def test_repeated_starts_without_an_end_are_given_up(source: Path, tmp_path: Path) -> None:
    lake = Lake.create(tmp_path / "lake", shards=1, start_date=date(2024, 1, 1))
    lake.ledger.register(objects(source), fingerprint=lambda _: "", shards=1, start_date=date(2024, 1, 1))
    (partition,) = lake.ledger.pending_partitions()
    victim = next(p.recording for p in lake.ledger.pending(partition) if p.recording.uri.endswith("/310.wav"))
    for _ in range(MAX_ATTEMPTS):  # every time, the whole machine went down
        lake.ledger.attempts.started(victim)
    ingested(source, tmp_path / "lake", shards=1)
    ((name, kind, why),) = rows(
        tmp_path / "lake",
        "SELECT parse_filename(uri), error_class, error_message FROM recordings WHERE status = 'failed'",
    )
    assert (name, kind) == ("310.wav", "Abandoned")
    assert why == f"started {MAX_ATTEMPTS} times and never finished; `sensory ingest --retry-failed` tries it again"


def test_a_wrong_setting_fails_the_run_and_says_what_to_change(source: Path, tmp_path: Path) -> None:
    report = ingested(source, tmp_path / "lake", shards=1, language="ru")
    assert report.published == 0
    assert len(report.run_failures) == 1
    assert "no ru" in report.run_failures[0]
    assert rows(tmp_path / "lake", "SELECT DISTINCT status FROM recordings") == [("pending",)]
