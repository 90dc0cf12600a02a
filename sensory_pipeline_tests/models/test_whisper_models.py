"""Models of Whisper: where they are, and where they are not."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.catalogue.store import HOME, Store
from sensory_pipeline.engines.stt.whisper_models import resolve, weights_of
from sensory_pipeline_tests.miniature_whisper import answer, conversation, engine, heard


def test_identifying_a_model_does_not_load_it(whisper: Path, tmp_path: Path) -> None:
    with closing(ModelCache(CacheSettings())) as cache:
        info = engine(whisper, cache).info
        sequential = engine(whisper, cache, batch_size=1).info
        assert not cache.stats().loads
    assert (info.engine, info.model) == ("whisper", whisper.name)
    assert sequential != info
    copy = copytree(whisper, tmp_path / "whisper")
    (copy / "README.md").write_text("what it is does not matter to its answers")
    assert resolve(str(copy)).revision == info.revision
    weights = bytearray((copy / "model.bin").read_bytes())
    weights[-1] ^= 1
    (copy / "model.bin").write_bytes(weights)
    assert resolve(str(copy)).revision != info.revision


def test_on_a_cpu_up_to_four_workers_share_the_threads(whisper: Path, cache: ModelCache) -> None:
    def workers(**options: Any) -> int:
        transcriber = engine(whisper, cache, **options)
        heard(transcriber, conversation("english-two"))
        model: Any
        with cache.lease(transcriber.key, lambda: pytest.fail("is not loaded")) as model:
            return int(model.model.num_workers)

    assert workers(cpu_threads=3) == 3
    assert workers(cpu_threads=9) == 4
    assert workers(cpu_threads=3, batch_size=1) == 1
    assert workers(cpu_threads=0) == 1


def test_a_folder_with_the_name_of_a_model_needs_a_path(whisper: Path, tmp_path: Path) -> None:
    (tmp_path / "base").symlink_to(whisper)  # in the current directory
    found = weights_of("base", HOME)
    assert found is not None
    assert found.name == "whisper-base"
    assert weights_of("./base", HOME) is None
    assert resolve("./base").revision == resolve(str(whisper)).revision


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def test_a_pickle_is_not_run(whisper: Path, cache: ModelCache, tmp_path: Path) -> None:
    folder = copytree(whisper, tmp_path / "model")
    mark = tmp_path / "exploded"
    for name in ("model.bin", "pytorch_model.bin", "tokenizer.pkl"):
        (folder / name).write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(ConfigurationError, match=r"cannot load the Whisper model .* trust"):
        answer(engine(folder, cache), conversation("english-two"))
    assert not mark.exists()
    pickle.loads((folder / "model.bin").read_bytes())
    assert mark.exists()  # so it would have


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.bin", b""),
        ("model.bin", b"\x06\x00\x00\x00\xff\xff"),
        ("config.json", b"{"),
        ("tokenizer.json", b'{"model":'),
        ("vocabulary.json", b"{}"),
    ],
)
def test_a_damaged_model_is_an_error_that_names_it(
    whisper: Path, cache: ModelCache, tmp_path: Path, name: str, content: bytes
) -> None:
    folder = copytree(whisper, tmp_path / "model")
    (folder / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=str(folder)):
        answer(engine(folder, cache), conversation("english-two"))


def test_the_error_about_a_folder_without_weights_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ConfigurationError, match=r"no model\.bin, tokenizer\.json.*ct2-transformers-converter"):
        resolve(str(tmp_path))


@pytest.mark.parametrize("name", ["smal", "./models/none", "/nowhere/at/all"])
def test_the_error_about_an_unknown_name_lists_the_models(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"large-v3-turbo"):
        resolve(name)


HUB = """
import sys
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.stt.whisper_models import resolve
for name in sys.argv[1:]:
    try:
        found = resolve(name)
        print(found.name, found.revision)
    except ConfigurationError as error:
        print(error)
"""


@pytest.mark.parametrize("variable", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_missing_models_are_downloaded_from_the_hub(whisper: Path, tmp_path: Path, variable: dict[str, str]) -> None:
    """In a process of its own, since the hub's client reads the environment once."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--Systran--faster-whisper-small"
    copytree(whisper, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    environment = {**os.environ, "HF_HOME": str(tmp_path), **variable}  # noqa: TID251
    asked = ("small", "Systran/faster-whisper-small", "medium")
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HUB), *asked],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    small, same, missing = result.stdout.splitlines()
    assert small == same == "Systran/faster-whisper-small 0123456789ab"
    assert "sensory models fetch whisper:medium" in missing
    assert "WHISPER_MODEL_SIZE=/path/to/folder" in missing


def test_a_missing_model_is_not_local() -> None:
    needed = weights_of("nobody/has-this-model", HOME)
    assert needed is not None
    assert not needed.here()


def test_a_name_of_the_catalogue_and_its_hub_id_are_the_same_model(tmp_path: Path) -> None:
    for name in ("base", "whisper-base", "Systran/faster-whisper-base"):
        needed = weights_of(name, Store(tmp_path))
        assert needed is not None
        assert (needed.name, needed.here()) == ("whisper-base", False)
