"""Who may read and write a lake, and the errors that others get."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sensory_pipeline.automation.instance import prepare_home
from sensory_pipeline.cli import main
from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.manifest import Manifest, commit
from sensory_pipeline.lake.views import connect
from sensory_pipeline.storage.files import files
from sensory_pipeline.storage.local import objects
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.ports import free_port

DAY = date(2024, 1, 1)
NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """Which anybody may look into, unlike pytest's own."""
    with TemporaryDirectory(prefix="permissions-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def another_user() -> Iterator[None]:
    """Root may read everything; others are kept out of what has lost its permissions as well as another is."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def umask(mode: int) -> Iterator[None]:
    before = os.umask(mode)
    try:
        yield
    finally:
        os.umask(before)


def made(root: Path) -> Lake:
    lake = Lake.create(root, shards=1, start_date=DAY)
    _ = lake.ledger
    with lake.lease(Partition(date=DAY, shard=0)):
        return lake


def mode(path: Path) -> str:
    return stat.filemode(path.stat().st_mode)[1:]


def test_a_new_lake_is_its_owners_unless_a_group_shares(folder: Path) -> None:
    with umask(0o022):
        made(folder / "mine")
        (folder / "given").mkdir()
        made(folder / "given")
    with umask(0o002):
        made(folder / "ours")
    assert mode(folder / "mine") == "rwx------"
    assert mode(folder / "given") == "rwxr-xr-x"  # as it was made
    assert mode(folder / "ours") == "rwxrwx---"
    for path in (folder / "ours").rglob("*"):
        assert mode(path)[3:5] == "rw", path


def test_a_folder_that_may_not_be_read_is_not_empty(folder: Path) -> None:
    tone(folder / "a.wav", 100)
    lake = made(folder / "lake")
    lake.ledger.register(objects(folder), fingerprint=lambda _: "", shards=1, start_date=DAY)
    (partition,) = lake.ledger.pending_partitions()
    commit(lake.manifests, partition, Manifest(generation=1))
    (day,) = lake.manifests.iterdir()
    lake.root.chmod(0o755)
    for closed in (lake.manifests, day):
        closed.chmod(0)
        with another_user(), pytest.raises(PermissionError), connect(lake):
            pass
        with another_user(), pytest.raises(PermissionError):
            lake.manifest(partition)
        closed.chmod(0o700)
    # by which forgetting finds decoded audio, too
    lake.audio.mkdir(mode=0)
    with another_user(), pytest.raises(PermissionError):
        files(lake.audio, "*.wav")
    assert files(lake.audio / "none", "*.wav") == []


@pytest.mark.parametrize("closed", ["lake", "lake/locks", "lake/.dagster", "lake/manifests", "lake/ledger.sqlite"])
@pytest.mark.parametrize(
    "command",
    [["sql", "SELECT 1"], ["ingest", "in"], ["forget", "in/a.wav", "--yes"], ["dev", "--port", str(free_port())]],
)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_a_second_user_gets_an_error_without_a_traceback(
    closed: str, command: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    tone(folder / "in" / "a.wav", 100)
    lake = made(folder / "lake")
    lake.manifests.mkdir()
    prepare_home(folder / "lake" / ".dagster")
    for path in (lake.root, *lake.root.rglob("*")):
        path.chmod(0o755)
    (folder / closed).chmod(0)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["sensory", *command, "--lake", "lake"])
    with another_user(), pytest.raises(SystemExit) as ended:
        main()
    told = capfd.readouterr().err
    assert "Traceback" not in told
    if ended.value.code != 0:  # what is closed may not matter to it
        assert ended.value.code == 2
        assert "permission" in told.lower() or "may not" in told or "cannot" in told
    elif command[0] != "sql":
        pytest.fail(f"it could do its work: {told}")
    (folder / closed).chmod(0o700)
