"""A recording that is moved or renamed keeps what engines made of it; one that only looks alike does not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from sensory_pipeline.core.recordings import recording_id
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage.local import uri_of
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.lakes import ingested, plain, rows

ENGINES = {Stage.TRANSCRIPTS, Stage.DIARIZATION, Stage.EMOTIONS}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for length in (300, 310, 320):
        tone(tmp_path / "in" / f"{length}.wav", length)
    return tmp_path / "in"


@pytest.mark.parametrize("side_by_side", [False, True])
def test_no_engine_runs_again(source: Path, tmp_path: Path, side_by_side: bool) -> None:
    ingested(source, tmp_path / "lake", shards=3)
    old, new = source / "300.wav", source / "archive" / "renamed.wav"
    before = _tables_of(tmp_path / "lake", old)
    new.parent.mkdir()
    old.rename(new)
    os.utime(new)
    report = ingested(source, tmp_path / "lake", shards=3, side_by_side=side_by_side)
    assert (report.missing, report.published, report.failed) == (1, 1, 0)
    assert {stage: count for stage, count in report.computed.items() if count} == {Stage.NORMALIZED_AUDIO: 1}
    assert _tables_of(tmp_path / "lake", new) == before
    assert len(rows(tmp_path / "lake", "SELECT * FROM recordings")) == 3
    again = rows(tmp_path / "lake", "SELECT count(DISTINCT run_id) FROM stages WHERE name = 'renamed.wav'")
    assert again == [(2,)], "decoding has its own run, the engines that of then"


def test_recordings_that_only_look_alike_are_processed(source: Path, tmp_path: Path) -> None:
    ingested(source, tmp_path / "lake")
    old, other = source / "300.wav", source / "other.wav"
    content = bytearray(old.read_bytes())
    content[-2:] = b"\x01\x01"  # one sample
    stat = old.stat()
    old.unlink()
    other.write_bytes(content)
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    shutil.copy2(source / "310.wav", source / "copy.wav")  # whose original is there still
    report = ingested(source, tmp_path / "lake")
    assert {report.computed[stage] for stage in ENGINES} == {2}


def test_reprocessed_recordings_are_done_again(source: Path, tmp_path: Path) -> None:
    ingested(source, tmp_path / "lake")
    (source / "300.wav").rename(source / "moved.wav")

    def meanwhile() -> None:
        lake = Lake.open(tmp_path / "lake", ledger=Settings().ledger)
        moved = [item for item in lake.ledger.known() if item.uri.endswith("moved.wav")]
        lake.ledger.redo(moved, [Stage.DIARIZATION, Stage.EMOTIONS])

    report = ingested(source, tmp_path / "lake", meanwhile=meanwhile)
    assert [report.computed[stage] for stage in sorted(ENGINES)] == [1, 1, 0]


def _tables_of(root: Path, path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Its rows, without what its uri decides."""
    identity = recording_id(uri_of(path))
    found = {
        name: [row[1:-2] for row in table if row[0] == identity]
        for name, table in plain(root).items()
        if name not in ("recordings", "stages")
    }
    assert any(found.values())
    return found
