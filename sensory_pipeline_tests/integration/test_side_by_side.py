"""Stages side by side: the same tables as one after the other, and nothing that a failure of one costs another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.selection import EngineFactory
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.runs.runner import Runner
from sensory_pipeline.processing.setup import runner
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage.local import objects
from sensory_pipeline_tests import trivial_engines as engines
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.lakes import ingested, rows, tables

LATER = (Stage.TRANSCRIPTS, Stage.DIARIZATION, Stage.EMOTIONS)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for length in (*range(300, 380, 10), engines.CULPRIT_MS):
        tone(tmp_path / "in" / f"{length}.wav", length)
    (tmp_path / "in" / "bad.wav").write_bytes(b"no sound")
    return tmp_path / "in"


@contextmanager
def one_partition(
    source: Path,
    root: Path,
    factory: EngineFactory = engines.trivial,
    progress: Callable[[Stage, str], None] = lambda _stage, _recording: None,
    **settings: Any,
) -> Iterator[tuple[Lake, Runner, Partition]]:
    """A lake that has registered the source, and what would process it."""
    given = Settings(lake=root, shards=1, side_by_side=True, **settings)
    lake = Lake.create(root, shards=1, start_date=given.start_date, ledger=given.ledger)
    with runner(given, engines=factory, progress=progress) as ready:
        lake.ledger.register(
            objects(source),
            fingerprint=lambda _: ready.context.plans.default.fingerprint,
            shards=1,
            start_date=given.start_date,
        )
        (partition,) = lake.ledger.pending_partitions()
        yield lake, ready, partition


def test_the_tables_are_those_of_stages_one_after_the_other(source: Path, tmp_path: Path) -> None:
    apart = ingested(source, tmp_path / "apart", engines=engines.slow, shards=1, side_by_side=True)
    together = ingested(source, tmp_path / "together", engines=engines.slow, shards=1, side_by_side=False)
    assert (apart.published, apart.failed, apart.computed) == (together.published, together.failed, together.computed)
    assert tables(tmp_path / "apart") == tables(tmp_path / "together")
    # for all that, Dagster's step of the emotions comes after that of the transcripts
    order = "SELECT stage FROM stages WHERE stage IN ('transcripts', 'emotions') ORDER BY made_at"
    assert rows(tmp_path / "apart", order) != rows(tmp_path / "together", order)


def test_finished_work_is_not_repeated(source: Path, tmp_path: Path) -> None:
    ingested(source, tmp_path / "lake", shards=1, side_by_side=True)
    tone(source / "400.wav", 400)
    report = ingested(source, tmp_path / "lake", shards=1, side_by_side=True)
    assert (report.published, set(report.computed.values())) == (1, {1})


def test_a_stage_starts_before_the_earlier_one_has_ended(source: Path, tmp_path: Path) -> None:
    begun: list[Stage] = []

    def note(stage: Stage, _: str) -> None:
        begun.append(stage)

    with one_partition(source, tmp_path / "lake", engines.slow, note) as (lake, ready, partition):
        reports = {stage: ready.run_stage(lake, stage, partition, "run", later=LATER) for stage in Stage}
    assert [reports[stage].computed for stage in Stage] == [10, 9, 9, 9]
    # each recording takes 0.3 s to transcribe
    transcripts = [index for index, stage in enumerate(begun) if stage is Stage.TRANSCRIPTS]
    assert begun.index(Stage.EMOTIONS) < transcripts[-1]


def test_a_stage_runs_alone_if_no_other_follows(source: Path, tmp_path: Path) -> None:
    begun: list[Stage] = []

    def note(stage: Stage, _: str) -> None:
        begun.append(stage)

    with one_partition(source, tmp_path / "lake", progress=note) as (lake, ready, partition):
        ready.run_stage(lake, Stage.NORMALIZED_AUDIO, partition, "run")
        assert set(begun) == {Stage.NORMALIZED_AUDIO}
        report = ready.run_stage(lake, Stage.TRANSCRIPTS, partition, "run")
        assert (report.computed, report.reused) == (9, 0)


@pytest.mark.parametrize("factory", [engines.segfaulting_in_diarization, engines.raising])
def test_a_bad_recording_fails_alone(factory: EngineFactory, source: Path, tmp_path: Path) -> None:
    report = ingested(source, tmp_path / "lake", engines=factory, shards=1, side_by_side=True)
    assert (report.published, report.failed) == (10, 2)
    failed = rows(tmp_path / "lake", "SELECT name FROM recordings WHERE status = 'failed' ORDER BY name")
    assert failed == [(f"{engines.CULPRIT_MS}.wav",), ("bad.wav",)]


def test_an_engine_failure_is_raised_by_its_own_stage(source: Path, tmp_path: Path) -> None:
    with one_partition(source, tmp_path / "lake", engines.unable_to_diarize) as (lake, ready, partition):
        for stage in (Stage.NORMALIZED_AUDIO, Stage.TRANSCRIPTS):
            assert ready.run_stage(lake, stage, partition, "run", later=LATER).computed in (9, 10)
        with pytest.raises(ConfigurationError, match="no diarization today"):
            ready.run_stage(lake, Stage.DIARIZATION, partition, "run", later=LATER)
    # the lease is free, and what was done is kept
    with one_partition(source, tmp_path / "lake") as (lake, ready, partition):
        reports = [ready.run_stage(lake, stage, partition, "again", later=LATER) for stage in Stage]
    assert [report.computed for report in reports] == [0, 0, 9, 9]


def test_an_aborted_run_releases_the_partition(source: Path, tmp_path: Path) -> None:
    with one_partition(source, tmp_path / "lake", engines.slow) as (lake, ready, partition):
        ready.run_stage(lake, Stage.NORMALIZED_AUDIO, partition, "run", later=LATER)
        ready.close()
        assert {item.attempts for item in lake.ledger.pending(partition)} == {0}
        # as after a step that Dagster gave up; the next run takes the partition
        reports = [ready.run_stage(lake, stage, partition, "next", later=LATER) for stage in Stage]
        assert [report.computed + report.reused for report in reports] == [10, 9, 9, 9]
        assert {item.attempts for item in lake.ledger.pending(partition)} == {0}


def test_a_run_takes_no_more_audio_than_it_may(tmp_path: Path) -> None:
    for length in range(1000, 1400, 20):
        tone(tmp_path / "in" / f"{length}.wav", length)
    with one_partition(tmp_path / "in", tmp_path / "lake", run_audio_hours=5 / 3600) as (lake, ready, partition):
        reports = [ready.run_stage(lake, stage, partition, "run", later=LATER) for stage in Stage]
    computed = [report.computed for report in reports]
    assert computed == [computed[0]] * 4
    assert 4 <= computed[0] <= 12  # some are on their way when the limit is reached


def test_stages_on_one_recording_are_one_attempt(source: Path, tmp_path: Path) -> None:
    seen: set[int] = set()

    def look(stage: Stage, _: str) -> None:
        if stage is Stage.DIARIZATION:  # which is done while most are still to be transcribed
            seen.update(item.attempts for item in lake.ledger.pending(partition))

    with one_partition(source, tmp_path / "lake", engines.slow, look) as (lake, ready, partition):
        for stage in Stage:
            ready.run_stage(lake, stage, partition, "run", later=LATER)
        assert seen <= {0, 1}
        assert 1 in seen
        assert {item.attempts for item in lake.ledger.pending(partition)} == {0}
