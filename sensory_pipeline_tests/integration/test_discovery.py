"""Folders and buckets are listed in pieces, and what they had is not lost when they are suddenly empty."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from sensory_pipeline.automation.discovery import sweep
from sensory_pipeline.core.process_request import ProcessRequest
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.plans import Plans, make_plan
from sensory_pipeline.storage import sources
from sensory_pipeline.storage.local import objects, path_of
from sensory_pipeline_tests.listing_server import FakeBucket, Stored, connected
from sensory_pipeline_tests.trivial_engines import trivial

START = date(2024, 1, 1)
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def bucket() -> Iterator[FakeBucket]:
    with connected(page=2) as bucket:
        yield bucket


@pytest.fixture(scope="module")
def plans() -> Plans:
    return Plans(default=make_plan(ProcessRequest(), trivial()))


def test_a_listing_can_continue_after_any_file(tmp_path: Path) -> None:
    names = ["a.wav", "b.wav", "b/1.wav", "b/c/2.wav", "b/c/d/3.wav", "b/e/4.wav", "c.wav/5.wav", "z/6.wav", "ä.wav"]
    for name in names:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"sound")
    whole = [item.uri for item in objects(tmp_path / "in")]
    assert len(whole) == len(names)
    for place, uri in enumerate(whole):
        assert [item.uri for item in objects(tmp_path / "in", after=path_of(uri))] == whole[place + 1 :]
    gone = [path_of(uri) for uri in whole]
    for path in gone[::2]:
        path.unlink()
    left = [item.uri for item in objects(tmp_path / "in")]
    for place, path in enumerate(gone):
        after = [uri for uri in whole[place + 1 :] if uri in left]
        assert [item.uri for item in objects(tmp_path / "in", after=path)] == after


def test_a_folder_is_swept_in_pieces(tmp_path: Path, plans: Plans, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_PAGE", 2)
    for index in range(7):
        (tmp_path / "in" / f"{index % 3}").mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / f"{index % 3}" / f"{index}.wav").write_bytes(b"sound")
    lake = Lake.create(tmp_path / "lake", shards=1, start_date=START)
    pieces = [sweep(lake, plans, str(tmp_path / "in"), seconds=0) for _ in range(4)]
    assert [piece.registration.new for piece in pieces] == [2, 2, 2, 1]
    (tmp_path / "in" / "0" / "0.wav").unlink()
    while not (last := sweep(lake, plans, str(tmp_path / "in"), seconds=0)).complete:
        pass
    assert sweep(lake, plans, str(tmp_path / "in")).missing + last.missing == 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a recording in it, and one in a folder below."""
    for name in ("a.wav", "calls/b.wav"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"sound")
    return tmp_path / "in"


@pytest.mark.parametrize("seconds", [None, 0.0, 60.0])
def test_recordings_of_an_emptied_source_are_not_marked_as_missing(
    seconds: float | None, folder: Path, tmp_path: Path, plans: Plans
) -> None:
    lake = Lake.create(tmp_path / "lake", shards=1, start_date=START)
    sweep(lake, plans, str(folder))
    folder.rename(tmp_path / "unmounted")
    (folder / "calls").mkdir(parents=True)  # as the mount point is, or a share that answers with nothing
    for _ in range(2):
        swept = sweep(lake, plans, str(folder), seconds=seconds)
        assert (swept.missing, swept.emptied, swept.complete) == (0, 2, True)
    swept = sweep(lake, plans, str(folder), seconds=seconds, confirm_missing=True)
    assert (swept.missing, swept.emptied) == (2, 0)
    assert sweep(lake, plans, str(folder), seconds=seconds).emptied == 0


def test_recordings_of_an_emptied_bucket_are_not_marked_as_missing(
    bucket: FakeBucket, tmp_path: Path, plans: Plans
) -> None:
    bucket.objects = {key: Stored(content="A", modified_at=NOW) for key in ("a.wav", "b.wav", "c.txt")}
    lake = Lake.create(tmp_path / "lake", shards=1, start_date=START)
    sweep(lake, plans, "s3://calls")
    bucket.objects = {"c.txt": Stored(content="A", modified_at=NOW)}
    assert sweep(lake, plans, "s3://calls").emptied == 2
    assert sweep(lake, plans, "s3://calls", confirm_missing=True).missing == 2


def test_a_stray_lake_json_marks_nothing_as_missing(
    folder: Path, tmp_path: Path, plans: Plans, caplog: pytest.LogCaptureFixture
) -> None:
    lake = Lake.create(tmp_path / "lake", shards=1, start_date=START)
    Lake.create(folder / "own", shards=1, start_date=START)  # a folder without known recordings: a lake, as usual
    sweep(lake, plans, str(folder))
    (folder / "calls" / "lake.json").write_text("{}")
    assert sweep(lake, plans, str(folder)).missing == 0
    assert f"{folder / 'calls'}, which had recordings and now has a lake.json" in caplog.text
    (folder / "a.wav").unlink()
    assert sweep(lake, plans, str(folder), confirm_missing=True).missing == 2
