"""The pyannote engine loads any folder that is safe, and no other."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.base import DiarizeJob
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.diarization.pyannote.checkpoints import CONFIG, NETWORK, PipelineConfig
from sensory_pipeline.engines.diarization.pyannote.diarizer import PyannoteDiarizer
from sensory_pipeline_tests.stock_pyannote import (
    ANY,
    Stock,
    answers,
    edited,
    linked,
    replaced,
    silence,
)

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published architecture, PyanNet and WeSpeakerResNet34, with random weights."""
    from scripts.random_models import pyannote

    folder = tmp_path_factory.mktemp("random") / "pyannote"
    pyannote(folder, seed=1)
    return folder


@pytest.fixture
def cache() -> Iterator[ModelCache]:
    with closing(ModelCache(CacheSettings(ttl_s=None))) as models:
        yield models


# What is in a folder


@pytest.fixture
def model(random_model: Path, tmp_path: Path) -> Path:
    return linked(random_model, tmp_path)


class Attack:
    """When unpickled, calls what is not its business."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def touching(path: Path) -> dict[str, Attack]:
    return {
        "posix.system": Attack(os.system, f"touch {path}"),
        "builtins.exec": Attack(exec, f"open({str(path)!r}, 'w')"),
        "shutil.copyfile": Attack(shutil.copyfile, __file__, str(path)),
        "io.open": Attack(open, str(path), "w"),
    }


def refusal(folder: Path, cache: ModelCache) -> str:
    """What the engine says of a folder that it must not use."""
    with pytest.raises(ConfigurationError) as caught:
        answers(PyannoteDiarizer(str(folder), cache=cache), DiarizeJob(key="a", pcm=silence(100), settings=ANY))
    assert not cache.stats().loads
    return str(caught.value)


@pytest.mark.parametrize("part", ["segmentation", "embedding"])
@pytest.mark.parametrize("name", ["posix.system", "builtins.exec", "shutil.copyfile", "io.open"])
def test_a_checkpoint_that_calls_something_is_refused_before_it_does(
    part: str, name: str, model: Path, cache: ModelCache, tmp_path: Path
) -> None:
    path = model / part / NETWORK
    checkpoint = torch.load(path, weights_only=False)
    checkpoint["hyper_parameters"]["linear"] = touching(tmp_path / "ran")[name]
    torch.save(checkpoint, replaced(path))
    message = refusal(model, cache)
    assert str(path) in message and name in message and "nothing of it was run" in message
    assert not (tmp_path / "ran").exists()


def test_getattr_gives_only_members_of_enums(model: Path, cache: ModelCache, tmp_path: Path) -> None:
    """By it some versions of Python name such members, and a pickle could get hold of anything."""
    from pyannote.audio.core.task import Problem, Specifications

    checkpoint = torch.load(model / "segmentation" / NETWORK, weights_only=False)
    path = replaced(model / "segmentation" / NETWORK)
    torch.save({**checkpoint, "more": Attack(getattr, Problem, "BINARY_CLASSIFICATION")}, path)
    assert answers(PyannoteDiarizer(str(model), cache=cache), DiarizeJob(key="a", pcm=silence(100), settings=ANY))
    for owner, name in ((Specifications, "__init__"), (Problem, "__reduce__")):
        torch.save({**checkpoint, "more": Attack(getattr, owner, name)}, path)
        with closing(ModelCache(CacheSettings())) as fresh:
            assert str(path) in refusal(model, fresh)


@pytest.mark.parametrize("form", ["newer protocol", "no zip", "old tar"])
def test_a_pickle_in_any_other_form_is_refused_too(form: str, model: Path, cache: ModelCache, tmp_path: Path) -> None:
    attack, path = touching(tmp_path / "ran")["posix.system"], replaced(model / "segmentation" / NETWORK)
    match form:
        case "newer protocol":
            torch.save({"state_dict": attack}, path, pickle_protocol=4)
        case "no zip":
            torch.save({"state_dict": attack}, path, _use_new_zipfile_serialization=False)
        case _:
            path.write_bytes(pickle.dumps(attack))
    message = refusal(model, cache)
    assert str(path) in message and "Nothing of it was run" in message
    assert not (tmp_path / "ran").exists()


@pytest.mark.filterwarnings("ignore")
def test_the_attack_is_real(model: Path, tmp_path: Path) -> None:
    path = model / "segmentation" / NETWORK
    checkpoint = torch.load(path, weights_only=False)
    checkpoint["hyper_parameters"]["linear"] = touching(tmp_path / "ran")["posix.system"]
    torch.save(checkpoint, replaced(path))
    with pytest.raises(Exception):  # noqa: B017  whatever a number in place of a dict leads to
        Stock(model)
    assert (tmp_path / "ran").exists()


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that appears when the module `trap` is imported."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "trap.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nclass Network: ...\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "modules"), *sys.path])
    return tmp_path / "ran"


def changed_checkpoint(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    checkpoint = torch.load(path, weights_only=False)
    change(checkpoint)
    torch.save(checkpoint, replaced(path))


@pytest.mark.parametrize("name", ["trap.Network", "subprocess.Popen", "pyannote.audio.core.model.Model"])
@pytest.mark.parametrize("part", ["segmentation", "embedding"])
def test_a_checkpoint_of_an_unknown_network_is_refused_before_its_import(
    part: str, name: str, model: Path, cache: ModelCache, trap: Path
) -> None:
    module, _, of_class = name.rpartition(".")
    path = model / part / NETWORK
    changed_checkpoint(
        path, lambda it: it["pyannote.audio"]["architecture"].update({"module": module, "class": of_class})
    )
    message = refusal(model, cache)
    assert str(path) in message and name in message
    assert not trap.exists()


def test_a_trusted_class_has_to_be_a_network(model: Path, cache: ModelCache) -> None:
    changed_checkpoint(
        model / "segmentation" / NETWORK,
        lambda it: it["pyannote.audio"]["architecture"].update({"module": "subprocess", "class": "Popen"}),
    )
    engine = PyannoteDiarizer(str(model), cache=cache, trusted_classes=frozenset({"subprocess.Popen"}))
    with pytest.raises(ConfigurationError, match="no torch module"):
        answers(engine, DiarizeJob(key="a", pcm=silence(100), settings=ANY))


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.update(hyper_parameters={"sincnet": torch.zeros(1)}),
        lambda it: it.update(hyper_parameters={"sincnet": it["pyannote.audio"]["specifications"]}),
        lambda it: it.update(hyper_parameters=None),
        lambda it: it.update(state_dict={"sincnet.wav_norm1d.weight": 1}),
        lambda it: it["pyannote.audio"].update(specifications={"duration": 10}),
        lambda it: it["pyannote.audio"].pop("architecture"),
        lambda it: it.pop("pyannote.audio"),
        lambda it: it.clear(),
    ],
)
def test_an_invalid_checkpoint_is_an_error(
    change: Callable[[dict[str, Any]], object], model: Path, cache: ModelCache
) -> None:
    path = model / "segmentation" / NETWORK
    changed_checkpoint(path, change)
    assert str(path) in refusal(model, cache)


@pytest.mark.parametrize("size", [0, 100, 100_000])
def test_part_of_a_checkpoint_is_an_error(size: int, model: Path, cache: ModelCache) -> None:
    path = model / "segmentation" / NETWORK
    content = path.read_bytes()[:size]
    replaced(path).write_bytes(content)
    assert str(path) in refusal(model, cache)


@pytest.mark.parametrize("name", ["plda/plda.npz", "plda/xvec_transform.npz"])
@pytest.mark.parametrize("form", ["objects", "pickle", "part"])
def test_a_plda_that_is_not_numbers_is_refused(
    form: str, name: str, model: Path, cache: ModelCache, tmp_path: Path
) -> None:
    attack, path = touching(tmp_path / "ran")["posix.system"], model / name
    arrays, content = dict(np.load(path)), path.read_bytes()
    match form:
        case "objects":
            objects: dict[str, Any] = {key: np.array([attack], dtype=object) for key in arrays}
            np.savez(replaced(path), **objects)
        case "pickle":
            replaced(path).write_bytes(pickle.dumps(attack))
        case _:
            replaced(path).write_bytes(content[:1000])
    assert str(path) in refusal(model, cache)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "edit",
    [
        lambda it: it["pipeline"].update(name="trap.Network"),
        lambda it: it["pipeline"].update(name="os.system", params={"command": "true"}),
        lambda it: it.update(preprocessors={"audio": {"name": "trap.Network"}}),
        lambda it: it.update(freeze={"segmentation": {}}),
        lambda it: it["pipeline"]["params"].update(segmentation="$model/../elsewhere"),
        lambda it: it["pipeline"]["params"].update(embedding="/tmp/elsewhere"),
        lambda it: it["pipeline"]["params"].update(embedding="speechbrain/spkrec-ecapa-voxceleb"),
        lambda it: it["pipeline"]["params"].update(plda="$model/plda@main"),
        lambda it: it["pipeline"]["params"].update(segmentation="$model/segmentation\n/../x"),
        lambda it: it["pipeline"]["params"].update(segmentation={"checkpoint": "pyannote/segmentation-3.0"}),
        lambda it: it["pipeline"]["params"].update(clustering="OracleClustering"),
        lambda it: it["pipeline"]["params"].pop("plda"),
        lambda it: it.pop("pipeline"),
    ],
)
def test_a_configuration_may_name_only_the_one_pipeline(
    edit: Callable[[dict[str, Any]], object], random_model: Path, tmp_path: Path, cache: ModelCache, trap: Path
) -> None:
    folder = edited(random_model, tmp_path, edit)
    assert str(folder / CONFIG) in refusal(folder, cache)
    assert not trap.exists()


@pytest.mark.parametrize("text", ["", "[]", "a: b: c", "\xff", "!!python/object/apply:os.system ['touch ran']"])
def test_a_configuration_runs_no_code(text: str, model: Path, cache: ModelCache) -> None:
    replaced(model / CONFIG).write_bytes(text.encode("latin-1"))
    assert str(model / CONFIG) in refusal(model, cache)
    assert not Path("ran").exists()


def test_hyperparameters_that_pyannote_does_not_know_are_an_error(
    random_model: Path, tmp_path: Path, cache: ModelCache
) -> None:
    folder = edited(random_model, tmp_path, lambda it: it["params"]["clustering"].update(spam=1))
    message = refusal(folder, cache)
    assert str(folder / CONFIG) in message and "spam" in message


def test_the_published_configuration_is_read() -> None:
    text = """
        dependencies: {pyannote.audio: 4.0.0}
        pipeline:
          name: pyannote.audio.pipelines.SpeakerDiarization
          params: {clustering: VBxClustering, segmentation: $model/segmentation, segmentation_batch_size: 32,
                   embedding: $model/embedding, embedding_batch_size: 32, embedding_exclude_overlap: true,
                   plda: $model/plda}
        params:
          clustering: {threshold: 0.6, Fa: 0.07, Fb: 0.8}
          segmentation: {min_duration_off: 0.0}
    """
    config = PipelineConfig.parse(text.encode(), Path(CONFIG))
    assert config.files == (
        f"segmentation/{NETWORK}",
        f"embedding/{NETWORK}",
        "plda/xvec_transform.npz",
        "plda/plda.npz",
    )
    assert config.pipeline.params.embedding_exclude_overlap


def test_the_version_of_torch_in_a_checkpoint_is_accepted(model: Path, cache: ModelCache) -> None:
    path = model / "segmentation" / NETWORK
    version = torch.torch_version.TorchVersion("2.1.0")
    changed_checkpoint(path, lambda it: it["pyannote.audio"]["versions"].update(torch=version))
    answers(PyannoteDiarizer(str(model), cache=cache), DiarizeJob(key="a", pcm=silence(100), settings=ANY))


def test_a_model_is_identified_by_its_content(model: Path, random_model: Path, cache: ModelCache) -> None:
    info = PyannoteDiarizer(str(random_model), cache=cache).info
    assert (info.engine, info.model, len(info.revision)) == ("pyannote", "pyannote", 12)
    assert PyannoteDiarizer(str(model), cache=cache).info.revision == info.revision
    (model / "README.md").write_text("says nothing of weights")
    assert PyannoteDiarizer(str(model), cache=cache).info.revision == info.revision
    edit = (model / CONFIG).read_text() + "\n"
    replaced(model / CONFIG).write_text(edit)
    assert PyannoteDiarizer(str(model), cache=cache).info.revision != info.revision


def test_a_model_that_changes_while_in_use_is_an_error(model: Path, cache: ModelCache) -> None:
    engine = PyannoteDiarizer(str(model), cache=cache)
    _ = engine.info
    edit = (model / CONFIG).read_text() + "\n"
    replaced(model / CONFIG).write_text(edit)
    with pytest.raises(ConfigurationError, match="changed"):
        answers(engine, DiarizeJob(key="a", pcm=silence(100), settings=ANY))


def test_a_missing_file_is_named(model: Path, cache: ModelCache) -> None:
    (model / "embedding" / NETWORK).unlink()
    assert str(model / "embedding" / NETWORK) in refusal(model, cache)


def test_without_torch_the_error_says_what_to_install(
    model: Path, cache: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "make models" in refusal(model, cache)
