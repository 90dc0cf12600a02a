"""The catalogue, and getting its models: from a hub, a package index, a web server, a folder and archives."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import ValidationError

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.catalogue import snapshots
from sensory_pipeline.engines.catalogue.fetch import Report, fetch
from sensory_pipeline.engines.catalogue.models import Catalogue, catalogue
from sensory_pipeline.engines.catalogue.store import Store
from sensory_pipeline_tests.command import sensory

WEIGHTS = bytes(range(256)) * 4000
CONFIG = b'{"a": 1}'
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Site:
    """A web server on this machine. pages: content by path; cut: how many bytes of a page are sent at most."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.headers: dict[str, str] = {}
        self.cut: int | None = None
        self.asked: list[tuple[str, str | None]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.answer(self)

            do_HEAD = do_GET  # noqa: N815  the name that http.server looks for

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.asked.append((request.path, wanted))
        content = self.pages.get(request.path)
        if content is None:
            request.send_response(404)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        first = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        request.send_response(206 if wanted else 200)
        for name, value in self.headers.items():
            request.send_header(name, value.format(sha256=hashlib.sha256(content).hexdigest()))
        request.send_header("Content-Length", str(len(content) - first))
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(content[first:][: self.cut])
            request.close_connection = self.cut is not None


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    site.server.shutdown()
    thread.join()
    site.server.server_close()


def toml(*, hub: bool = False, url: str | None = None, parts: bool = True, md5: bool = False) -> str:
    """A catalogue of one model of two files, the larger in two parts."""
    source = {
        "hub": f'hub = "owner/toy"\nrevision = "{COMMIT}"' if hub else "",
        "digest": f'md5 = "{hashlib.md5(WEIGHTS).hexdigest()}"'
        if md5
        else f'sha256 = "{hashlib.sha256(WEIGHTS).hexdigest()}"\nbytes = {len(WEIGHTS)}',
        "two": 'parts = [{ carrier = "toy-one", path = "toy_one/model.part1" }, '
        '{ carrier = "toy-two", path = "toy_two/model.part2" }]'
        if parts
        else "",
        "one": 'parts = [{ carrier = "toy-one", path = "toy_one/config.json" }]' if parts else "",
    }
    return f"""
[toy]
task = "transcription"
about = "a toy"
languages = "any"
licence = "MIT"
{source["hub"]}

[toy.files."model.bin"]
{source["digest"]}
{source["two"]}
{f'url = "{url}/model.bin"' if url else ""}

[toy.files."config.json"]
bytes = {len(CONFIG)}
sha256 = "{hashlib.sha256(CONFIG).hexdigest()}"
{source["one"]}
{f'url = "{url}/config.json"' if url else ""}

[carriers.toy-one]
version = "1.0"
bytes = 1000
[carriers.toy-two]
version = "1.0"
bytes = 1000
built_for = {{ python = "3.11", platform = "manylinux_2_28_x86_64" }}
"""


def listed(*, url: str | None = None, parts: bool = True, md5: bool = False) -> Catalogue:
    return Catalogue.parse(toml(url=url, parts=parts, md5=md5))


def wheels(folder: Path, weights: bytes = WEIGHTS) -> list[Path]:
    """The two carriers."""
    half = len(weights) // 2
    contents = {
        "toy_one-1.0-py3-none-any.whl": {"toy_one/model.part1": weights[:half], "toy_one/config.json": CONFIG},
        "toy_two-1.0-cp311-cp311-manylinux_2_28_x86_64.whl": {"toy_two/model.part2": weights[half:]},
    }
    made = []
    for name, files in contents.items():
        package, version = name.split("-")[:2]
        files[f"{package}-{version}.dist-info/METADATA"] = (
            f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n".encode()
        )
        files[f"{package}-{version}.dist-info/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
        files[f"{package}-{version}.dist-info/RECORD"] = b""
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in files.items():
                archive.writestr(path, content)
        made.append(folder / name)
    return made


@contextmanager
def package_index(site: Site, files: list[Path]) -> Iterator[None]:
    """pip asks this site alone (https://packaging.python.org/en/latest/specifications/simple-repository-api/)."""
    for file in files:
        package = file.name.partition("-")[0].replace("_", "-")
        site.pages[f"/files/{file.name}"] = file.read_bytes()
        site.pages[f"/simple/{package}/"] = f'<a href="/files/{file.name}">{file.name}</a>'.encode()
    site.headers = {"Content-Type": "text/html"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_INDEX_URL", f"{site.url}/simple")
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        patch.setenv("PIP_NO_CACHE_DIR", "1")
        patch.delenv("PIP_FIND_LINKS", raising=False)
        patch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
        yield


def whole(folder: Path) -> bool:
    return (folder / "model.bin").read_bytes() == WEIGHTS and (folder / "config.json").read_bytes() == CONFIG


def test_what_is_listed_is_complete() -> None:
    models = catalogue().models
    assert {"whisper-base", "whisper-tiny.en", "segmentation-3.0", "campplus", "gigaam-emo"} <= models.keys()
    for model in models.values():
        assert model.licence
        assert model.hub or model.carriers or all(file.url for file in model.files.values())
        assert model.name == "gigaam-emo" or model.size_bytes


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[a]\ntask="x"\nabout="x"\nlanguages="x"\nlicence="x"\n[a.files."../b"]\nmd5="' + "0" * 32 + '"', "pattern"),
        ('[a]\ntask="x"\nabout="x"\nlanguages="x"\nlicence="x"\n[a.files.b]\nbytes=1', "either a sha256 or an md5"),
        (
            '[a]\ntask="x"\nabout="x"\nlanguages="x"\nlicence="x"\nhub="a/b"\n[a.files.b]\nmd5="' + "0" * 32 + '"',
            "revision",
        ),
    ],
)
def test_an_entry_that_cannot_be_checked_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Catalogue.parse(text)


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


def test_what_came_whole_is_not_asked_for_again(site: Site, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("form", ["folder", "wheels", "zip", "tar"])
def test_from_what_somebody_has(form: str, tmp_path: Path) -> None:
    given = tmp_path / "given"
    (given / "toy").mkdir(parents=True)
    if form == "wheels":
        wheels(given)
    else:
        (given / "toy" / "model.bin").write_bytes(WEIGHTS)
        (given / "toy" / "config.json").write_bytes(CONFIG)
    if form == "zip":
        with zipfile.ZipFile(tmp_path / "toy.zip", "w") as zipped:
            for file in (given / "toy").iterdir():
                zipped.write(file, file.name)
        given = tmp_path / "toy.zip"
    elif form == "tar":
        with tarfile.open(tmp_path / "toy.tgz", "w:gz") as tarred:
            tarred.add(given / "toy", "deep/toy")
        given = tmp_path / "toy.tgz"
    assert whole(fetch("toy", Store(tmp_path / "store", listed()), given=given))


@pytest.mark.parametrize("given", ["nowhere", "text.txt", "empty"])
def test_what_holds_no_model_is_told(given: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("no archive")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match=given):
        fetch("toy", Store(tmp_path / "store", listed()), given=tmp_path / given)


def test_from_its_publisher_from_the_byte_on_that_is_missing(site: Site, tmp_path: Path) -> None:
    site.pages = {"/model.bin": WEIGHTS, "/config.json": CONFIG}
    site.cut = 1000
    store = Store(tmp_path / "store", listed(url=site.url, parts=False, md5=True))
    with pytest.raises(ConfigurationError, match="try again"):
        fetch("toy", store)
    site.cut = None
    assert whole(fetch("toy", store))
    ranges = [asked for path, asked in site.asked if path == "/model.bin"]
    assert ranges == [None, "bytes=1000-"]


def test_no_place_gives_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", listed(url="http://127.0.0.1:9", parts=False))
    with pytest.raises(ConfigurationError, match=r"its publisher: .*copy the folder.*sensory models fetch toy --from"):
        fetch("toy", store)


def test_a_file_that_changes_is_read_through_again(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    wheels(tmp_path / "given")
    store = Store(tmp_path / "store", listed())
    place = fetch("toy", store, given=tmp_path / "given")
    damaged = bytearray(WEIGHTS)
    damaged[1000] ^= 1
    (place / "model.bin").write_bytes(damaged)
    assert store.here("toy")
    assert store.damaged("toy") == ["model.bin"]
    with pytest.raises(ConfigurationError, match=r"model\.bin: not the published file"):
        store.verified("toy")
    assert whole(fetch("toy", store, given=tmp_path / "given"))
    assert store.verified("toy") == place


def test_a_folder_copied_by_hand_is_verified_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", listed())
    (tmp_path / "store" / "toy").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="sensory models fetch toy"):
        store.verified("toy")
    (tmp_path / "store" / "toy" / "model.bin").write_bytes(WEIGHTS)
    (tmp_path / "store" / "toy" / "config.json").write_bytes(CONFIG)
    assert whole(store.verified("toy"))


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


def test_a_hub_that_is_not_there_is_told_and_passed_over(site: Site, tmp_path: Path) -> None:
    with package_index(site, wheels(tmp_path)):
        said = fetched_by_hub(tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
        assert "http://127.0.0.1:9 cannot be reached" in said
        assert whole(tmp_path / "store" / "toy"), said


def test_offline_the_hub_is_not_asked(site: Site, tmp_path: Path) -> None:
    said = fetched_by_hub(
        tmp_path, HF_ENDPOINT=site.url, HF_HUB_OFFLINE="1", PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull
    )
    assert "HF_HUB_OFFLINE forbids to ask the hub" in said
    assert "sensory models fetch toy --from FOLDER" in said
    assert not site.asked


def test_two_who_fetch_at_once_get_it_once(site: Site, tmp_path: Path) -> None:
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


def test_a_snapshot_of_the_hub_is_held_to_the_names_of_its_blobs(tmp_path: Path) -> None:
    repository = tmp_path / "models--owner--toy"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    small = hashlib.sha1(b"blob %d\0" % len(CONFIG) + CONFIG).hexdigest()
    for name, blob, content in (
        ("model.bin", hashlib.sha256(WEIGHTS).hexdigest(), WEIGHTS),
        ("config.json", small, CONFIG),
    ):
        (repository / "blobs" / blob).write_bytes(content)
        (snapshot / name).symlink_to(repository / "blobs" / blob)
    store = Store(tmp_path / "store")
    assert snapshots.verified(snapshot, store) == snapshot
    assert snapshots.verified(snapshot, store) == snapshot
    (repository / "blobs" / small).write_bytes(CONFIG + b" ")
    with pytest.raises(ConfigurationError, match=r"config\.json: not what the hub published"):
        snapshots.verified(snapshot, store)


def test_the_commands(tmp_path: Path) -> None:
    given = {"SENSORY_MODELS": str(tmp_path / "models")}
    shown = sensory("models", "list", cwd=tmp_path, **given)
    assert shown.returncode == 0
    assert re.search(r"whisper-tiny.en .* MIT +│ not here, used", shown.stdout), shown.stdout
    assert re.search(r"whisper-base .* MIT +│ not here ", shown.stdout), shown.stdout
    assert str(tmp_path / "models") in shown.stdout
    missing = sensory("models", "verify", "campplus", cwd=tmp_path, **given)
    assert (missing.returncode, "campplus_cn_en_common.pt" in missing.stdout) == (1, True)
    nowhere = sensory("models", "path", "campplus", cwd=tmp_path, **given)
    assert (nowhere.returncode, "sensory models fetch campplus" in nowhere.stderr) == (2, True)
    unknown = sensory("models", "fetch", "whisper", cwd=tmp_path, **given)
    assert (unknown.returncode, "there is no model 'whisper'" in unknown.stderr) == (2, True)
    other = sensory("models", "fetch", "whisper:small", "--from", ".", cwd=tmp_path, **given)
    assert (other.returncode, "--from serves the models of the catalogue" in other.stderr) == (2, True)
