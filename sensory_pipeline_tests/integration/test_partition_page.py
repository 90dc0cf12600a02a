"""What the UI shows of a partition: what it holds now, and what the last run did that had something to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg

from sensory_pipeline.automation.instance import open_instance
from sensory_pipeline.automation.measured_speed import real_time_factor
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.definitions import build
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.setup import runner
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.lakes import ingested
from sensory_pipeline_tests.trivial_engines import trivial


def test_a_run_with_nothing_to_do_leaves_the_numbers(tmp_path: Path) -> None:
    for length in (3600, 7200):
        tone(tmp_path / "in" / f"{length}.wav", length)
    (tmp_path / "in" / "empty.wav").write_bytes(b"")
    ingested(tmp_path / "in", tmp_path / "lake", history=True)
    tone(tmp_path / "in" / "added.wav", 10800)
    ingested(tmp_path / "in", tmp_path / "lake", history=True)
    shown = page(tmp_path / "lake")
    totals = {"recordings": 4, "audio_hours": 0.006, "failed": 1, "partial": 0, "pending": 0, "rows_recordings": 4}
    assert totals.items() <= shown.items()
    (kind,) = shown["errors"]
    assert shown["errors"] == {kind: 1}
    assert (shown["run_published"], shown["run_failed"], shown["run_audio_hours"]) == (1, 0, 0.003)
    assert shown["timeline"]
    stages = {stage: page(tmp_path / "lake", stage) for stage in Stage}
    assert {"recordings": 4, "audio_hours": 0.006, "failed": 1}.items() <= stages[Stage.NORMALIZED_AUDIO].items()
    for stage in (Stage.TRANSCRIPTS, Stage.DIARIZATION, Stage.EMOTIONS):
        assert {"recordings": 3, "audio_hours": 0.006, "failed": 0}.items() <= stages[stage].items()
    for numbers in stages.values():
        assert (numbers["run_computed"], numbers["run_failed"], numbers["run_audio_hours"]) == (1, 0, 0.003)
        assert numbers["run"] == shown["run"]
    pace = real_time_factor(tmp_path / "lake" / ".dagster")
    materialised_again(tmp_path / "lake")
    again = page(tmp_path / "lake")
    changed = {name for name in shown.keys() | again.keys() if shown.get(name) != again.get(name)}
    assert changed <= {"picture"}
    assert {stage: page(tmp_path / "lake", stage) for stage in Stage} == stages
    assert real_time_factor(tmp_path / "lake" / ".dagster") == pace


def materialised_again(root: Path) -> None:
    """The whole chain on the lake's partition, as a backfill does it."""
    settings = Settings(lake=root, shards=1, workers=1, side_by_side=False)
    lake = Lake.open(root)
    ((partition, _),) = lake.published()
    key = dg.MultiPartitionKey({"date": partition.date.isoformat(), "shard": str(partition.shard)})
    with runner(settings, engines=trivial) as ready, open_instance(root / ".dagster") as instance:
        job = build(settings, lake=lake, engines=ready).resolve_job_def("process_recordings")
        assert job.execute_in_process(instance=instance, partition_key=key).success
        assert ready.publication is not None
        assert ready.publication.published == 0


def page(root: Path, asset: str = "merged_parquet") -> dict[str, Any]:
    """The latest materialisation's numbers."""
    with open_instance(root / ".dagster") as instance:
        (record,) = instance.fetch_materializations(dg.AssetKey(asset), limit=1).records
    assert record.asset_materialization is not None
    return {name: entry.value for name, entry in record.asset_materialization.metadata.items()}
