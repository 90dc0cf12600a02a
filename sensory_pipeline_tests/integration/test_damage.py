"""A bit that flips on the disk is detected or changes nothing; no query silently gives another answer."""

from __future__ import annotations

import logging
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sensory_pipeline.core.errors import LakeDamaged, SensoryError
from sensory_pipeline.core.recordings import recording_id
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.removal import forget
from sensory_pipeline.lake.views import connect
from sensory_pipeline.processing.runs.runner import Runner
from sensory_pipeline.processing.setup import runner
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage.local import objects, uri_of
from sensory_pipeline_tests import trivial_engines as engines
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.command import invoked
from sensory_pipeline_tests.lakes import tables

START = date(2024, 1, 1)


def processed(ready: Runner, lake: Lake) -> None:
    """Process what is pending, as a run does."""
    for partition in lake.ledger.pending_partitions():
        for stage in Stage:
            ready.run_stage(lake, stage, partition, "run")
        ready.publish(lake, partition, "run")


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """Engine processes for all tests."""
    root = tmp_path_factory.mktemp("engines")
    with runner(Settings(lake=root, shards=1, workers=1), engines=engines.trivial) as found:
        yield found


@pytest.fixture(scope="module")
def whole(ready: Runner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of four recordings, one of which is gone and one forgotten."""
    folder = tmp_path_factory.mktemp("whole")
    for length in (300, 310, 320, 330):
        tone(folder / "in" / f"{length}.wav", length)
    lake = Lake.create(folder / "lake", shards=1, start_date=START)
    fingerprint = ready.context.plans.default.fingerprint
    lake.ledger.register(objects(folder / "in"), fingerprint=lambda _: fingerprint, shards=1, start_date=START)
    processed(ready, lake)
    lake.ledger.mark_missing([uri_of(folder / "in" / "320.wav")])
    forget(lake, uri_of(folder / "in" / "330.wav"))
    return lake.root


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def flips(root: Path, number: int, seed: int) -> list[tuple[str, int]]:
    """Files, and a bit of each: half by their bytes, half by their kind, so that small ones have their share."""
    found = sorted(path for path in root.rglob("*") if path.is_file() and path.stat().st_size)
    kinds = sorted({path.relative_to(root).parts[0] for path in found})
    rng = random.Random(seed)
    chosen = []
    for index in range(number):
        if index % 2:
            (path,) = rng.choices(found, [each.stat().st_size for each in found])
        else:
            kind = rng.choice(kinds)
            path = rng.choice([each for each in found if each.relative_to(root).parts[0] == kind])
        chosen.append((path.relative_to(root).as_posix(), rng.randrange(8 * path.stat().st_size)))
    return chosen


def test_a_flipped_bit_is_detected_or_changes_nothing(
    ready: Runner, whole: Path, soak: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(whole, tmp_path / "lake")
    redone(ready, tmp_path / "lake")
    after = tables(tmp_path / "lake")
    before = tables(whole)
    noticed = 0
    for name, bit in flips(whole, 1000 if soak else 20, seed=16):
        shutil.rmtree(tmp_path / "lake")
        shutil.copytree(whole, tmp_path / "lake")
        flip(tmp_path / "lake" / name, bit)
        caplog.clear()
        try:
            assert tables(tmp_path / "lake") == before, (name, bit)
            redone(ready, tmp_path / "lake")
            assert tables(tmp_path / "lake") == after, (name, bit)
        except SensoryError:
            noticed += 1
            ready.close()
        else:
            noticed += any(record.levelno >= logging.WARNING for record in caplog.records)
    assert noticed > 0


def redone(ready: Runner, root: Path) -> None:
    """Make emotions again, from the stored results of the earlier stages."""
    lake = Lake.open(root)
    lake.ledger.redo(lake.ledger.known(), [Stage.EMOTIONS])
    processed(ready, lake)


def test_the_error_names_a_damaged_data_file(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "lake")
    (words,) = (tmp_path / "lake" / "generations" / "words").rglob("*.parquet")
    flip(words, 8 * 40)
    with pytest.raises(LakeDamaged, match=words.name), connect(Lake.open(tmp_path / "lake")):
        pass
    done = invoked("sql", "SELECT text FROM words", "--lake", "lake", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert words.name in done.stderr
    assert invoked("sql", "SELECT uri FROM recordings", "--lake", "lake", cwd=tmp_path).returncode == 0, "no part of it"


def test_pages_have_checksums_that_other_readers_verify(whole: Path, tmp_path: Path) -> None:
    for path in whole.rglob("*.parquet"):
        if not pq.read_metadata(path).num_rows:
            continue
        damaged = Path(shutil.copy(path, tmp_path / "damaged.parquet"))
        column = pq.read_metadata(path).row_group(0).column(0)
        begin = column.dictionary_page_offset or column.data_page_offset
        flip(damaged, 8 * (begin + column.total_compressed_size - 1))
        with pytest.raises(OSError, match="CRC check"):
            pq.read_table(damaged, page_checksum_verification=True, partitioning=None)


def test_forgetting_removes_the_audio_despite_a_damaged_chunk_or_table(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "lake")
    lake = Lake.open(tmp_path / "lake")
    uri = next(item.uri for item in lake.ledger.known() if item.uri.endswith("300.wav"))
    (chunk,) = (lake.root / "stages" / "transcripts").rglob("*.parquet")
    chunk.write_bytes(b"junk" * 100)
    (words,) = (lake.root / "generations" / "words").rglob("*.parquet")
    content = words.read_bytes()
    flip(words, 8 * 40)
    with pytest.raises(LakeDamaged, match=words.name):
        forget(lake, uri)
    assert not list(lake.audio.glob(f"{recording_id(uri)}-*"))
    assert not chunk.exists()
    for other in (lake.root / "stages").rglob("*.parquet"):
        assert recording_id(uri) not in pq.read_table(other)["recording_id"].to_pylist()
    words.write_bytes(content)
    assert forget(lake, uri), "once it is put back"
    assert recording_id(uri) not in repr(tables(lake.root))


def test_an_invalid_stored_result_is_made_again(ready: Runner, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "lake")
    lake = Lake.open(tmp_path / "lake")
    ((partition, _),) = lake.published()
    lake.ledger.redo(lake.ledger.known(), [Stage.EMOTIONS])
    pending = lake.ledger.pending(partition)
    fingerprint = ready.context.plans.default.stages[Stage.TRANSCRIPTS].fingerprint
    wanted = {item.recording.recording_id: (item.recording.version, fingerprint) for item in pending}
    stored = lake.stages.read(Stage.TRANSCRIPTS, partition, wanted)
    with lake.stages.writer(Stage.TRANSCRIPTS, partition, "other") as writer:
        for result in stored.values():
            writer.add(replace(result, payload='{"language": "en", "segments": [{"text": 7}]}'))
    assert ready.run_stage(lake, Stage.TRANSCRIPTS, partition, "run").computed == len(pending)
    assert ready.run_stage(lake, Stage.TRANSCRIPTS, partition, "run").reused == len(pending)
