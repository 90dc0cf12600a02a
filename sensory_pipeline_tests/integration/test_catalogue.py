"""The catalogue, and models that are on this machine already: in folders, archives and snapshots."""

from __future__ import annotations

import hashlib
import re
import tarfile
import zipfile
from pathlib import Path

import pytest
from pydantic import ValidationError

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.catalogue import snapshots
from sensory_pipeline.engines.catalogue.fetch import fetch
from sensory_pipeline.engines.catalogue.models import Catalogue, catalogue
from sensory_pipeline.engines.catalogue.store import Store
from sensory_pipeline_tests.command import invoked
from sensory_pipeline_tests.toy_model import COMMIT, CONFIG, WEIGHTS, listed, wheels, whole


def test_every_entry_is_complete() -> None:
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


@pytest.mark.parametrize("form", ["folder", "wheels", "zip", "tar"])
def test_a_model_is_taken_from_a_folder_or_an_archive(form: str, tmp_path: Path) -> None:
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
def test_a_source_without_the_model_is_refused(given: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("no archive")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match=given):
        fetch("toy", Store(tmp_path / "store", listed()), given=tmp_path / given)


def test_a_file_that_changes_is_verified_again(tmp_path: Path) -> None:
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


def test_a_snapshot_of_the_hub_is_verified_by_the_names_of_its_blobs(tmp_path: Path) -> None:
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
    shown = invoked("models", "list", cwd=tmp_path, **given)
    assert shown.returncode == 0
    assert re.search(r"whisper-tiny.en .* MIT +│ not here, used", shown.stdout), shown.stdout
    assert re.search(r"whisper-base .* MIT +│ not here ", shown.stdout), shown.stdout
    assert str(tmp_path / "models") in shown.stdout
    missing = invoked("models", "verify", "campplus", cwd=tmp_path, **given)
    assert (missing.returncode, "campplus_cn_en_common.pt" in missing.stdout) == (1, True)
    nowhere = invoked("models", "path", "campplus", cwd=tmp_path, **given)
    assert (nowhere.returncode, "sensory models fetch campplus" in nowhere.stderr) == (2, True)
    unknown = invoked("models", "fetch", "whisper", cwd=tmp_path, **given)
    assert (unknown.returncode, "there is no model 'whisper'" in unknown.stderr) == (2, True)
    other = invoked("models", "fetch", "whisper:small", "--from", ".", cwd=tmp_path, **given)
    assert (other.returncode, "--from serves the models of the catalogue" in other.stderr) == (2, True)
