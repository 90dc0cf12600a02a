"""What was done is done again because somebody wants it, and only that."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from sensory_pipeline.automation.instance import open_instance
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.definitions import build
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.runs.reprocess import reprocess, reprocess_stage
from sensory_pipeline.processing.setup import runner
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage.local import uri_of
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.command import invoked, sensory
from sensory_pipeline_tests.lakes import ingested, rows, tables
from sensory_pipeline_tests.trivial_engines import trivial

MADE = "SELECT name, stage, made_at FROM stages"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    for index in range(3):
        tone(tmp_path / "in" / f"{index}.wav", 600 + index)
    ingested(tmp_path / "in", tmp_path / "lake", shards=1)
    return Lake.open(tmp_path / "lake")


def redone(lake: Lake, before: list[tuple[str, str, datetime]]) -> set[tuple[str, str]]:
    """Name and stage of the results that were made again."""
    old = {(name, stage): made for name, stage, made in before}
    return {(name, stage) for name, stage, made in rows(lake.root, MADE) if made > old[name, stage]}


def test_an_engine_and_what_builds_on_it_for_some_recordings(lake: Lake) -> None:
    before, same = rows(lake.root, MADE), tables(lake.root)
    with runner(Settings(), engines=trivial) as ready:
        one = [recording for recording in lake.ledger.known() if recording.uri.endswith("/1.wav")]
        assert reprocess(lake, ready.context.plans, one, engine="trivial") == 1
        assert reprocess(lake, ready.context.plans, one, engine="pyannote") == 0
    assert len(rows(lake.root, "SELECT * FROM words")) == 3, "the old rows stay meanwhile"
    report = ingested(lake.root.parent / "in", lake.root, shards=1)
    assert (report.published, report.computed["normalized_audio"], report.computed["transcripts"]) == (1, 0, 1)
    assert redone(lake, before) == {("1.wav", stage) for stage in ("transcripts", "diarization", "emotions")}
    assert tables(lake.root)["words"] == same["words"]
    assert ingested(lake.root.parent / "in", lake.root, shards=1).runs == 0


def test_two_requests_for_one_recording_are_both_applied(lake: Lake) -> None:
    before = rows(lake.root, MADE)
    (day,) = {recording.partition.date for recording in lake.ledger.known()}
    for stage in (Stage.DIARIZATION, Stage.TRANSCRIPTS):
        reprocess_stage(lake, stage, Partition(date=day, shard=0), [uri_of(lake.root.parent / "in" / "0.wav")])
    ingested(lake.root.parent / "in", lake.root, shards=1)
    assert redone(lake, before) == {("0.wav", stage) for stage in ("transcripts", "diarization", "emotions")}


def test_the_run_config_of_the_ui(lake: Lake) -> None:
    before = rows(lake.root, MADE)
    day = rows(lake.root, "SELECT date FROM recordings")[0][0]
    config = {"reprocess": True, "recordings": [uri_of(lake.root.parent / "in" / "2.wav")]}
    with runner(Settings(), engines=trivial) as ready, open_instance(lake.root / ".dagster") as instance:
        job = build(Settings(), lake=lake, engines=ready).resolve_job_def("process_recordings")

        def run(config: dict[str, object]) -> dg.ExecuteInProcessResult:
            return job.execute_in_process(
                instance=instance,
                partition_key=dg.MultiPartitionKey({"date": day.isoformat(), "shard": "0"}),
                run_config={"ops": {"diarization": {"config": config}}},
                raise_on_error=False,
            )

        assert run(config).success
        assert redone(lake, before) == {("2.wav", "diarization"), ("2.wav", "emotions")}
        assert not run({"reprocess": True, "recordings": ["file:///elsewhere.wav"]}).success
    with pytest.raises(ConfigurationError, match=r"has no recording file:///elsewhere\.wav"):
        reprocess_stage(lake, Stage.DIARIZATION, Partition(date=day, shard=0), ["file:///elsewhere.wav"])


@pytest.mark.usefixtures("real_models")
def test_the_command(tmp_path: Path) -> None:
    for name, length_ms in (("a.wav", 600), ("b.wav", 700)):
        tone(tmp_path / "in" / name, length_ms)
    assert sensory("ingest", "in", "--lake", "lake", cwd=tmp_path).returncode == 0
    before = rows(tmp_path / "lake", MADE)
    lake = Lake.open(tmp_path / "lake")
    done = sensory("reprocess", "in/a.wav", "--engine", "prosody", "--lake", "lake", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 recording to process again" in done.stderr
    assert redone(lake, before) == {("a.wav", "emotions")}
    today = datetime.now(UTC).date().isoformat()
    assert "2 recordings to process" in invoked("reprocess", "--date", today, "--lake", "lake", cwd=tmp_path).stderr
    for arguments, told in {
        (): "choose what to process again",
        ("in/c.wav",): "the lake does not have in/c.wav",
        ("--engine", "gigaam"): "the engine 'gigaam' is not in use: choose from pyav, whisper, onnx, prosody",
    }.items():
        refused = invoked("reprocess", *arguments, "--lake", "lake", cwd=tmp_path)
        assert (refused.returncode, told in refused.stderr) == (2, True), refused.stderr
    elsewhere = invoked("reprocess", "in/a.wav", "--lake", "lake", cwd=tmp_path, SENSORY_SHARDS="4")
    assert (elsewhere.returncode, "made with SENSORY_SHARDS=1" in elsewhere.stderr) == (2, True), elsewhere.stderr
    assert not lake.ledger.pending_partitions()
