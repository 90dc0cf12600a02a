"""What a model's files may cost, and change; and at which commit models of the hub are taken."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.base import DiarizeJob
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.catalogue.models import catalogue
from sensory_pipeline.engines.catalogue.revisions import HubModel
from sensory_pipeline.engines.checkpoint import read_checkpoint
from sensory_pipeline.engines.diarization.pyannote.checkpoints import CONFIG, NETWORK, PLDA_FILES, PipelineConfig
from sensory_pipeline.engines.diarization.pyannote.diarizer import PyannoteDiarizer
from sensory_pipeline_tests.checkpoint_files import tensor, write_zip
from sensory_pipeline_tests.stock_pyannote import ANY, answers, linked, replaced, silence

DOUBLED = b"}(K\x00" + b"\x85q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"K\x01u0"
"""A dict whose key is a tuple that holds the one before it twice, sixty times over: a hash that takes for ever."""


def test_tuples_that_grow_exponentially_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.ckpt", {"x": tensor((12,), (1,))}, before=DOUBLED)
    with pytest.raises(ConfigurationError, match="its tuples hold more"):
        read_checkpoint(path)


LAUGHS = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (LAUGHS, "aliases"),
        ("version: " + "x" * (1 << 16), "larger than 65536 bytes"),
        ("[" * 5_000 + "]" * 5_000, "recursion"),
        ("version: 2026-99-99", "month"),
        ("version: " + "9" * 5_000, "4300 digits"),
    ],
    ids=["billion laughs", "large", "deep", "no date", "no number"],
)
def test_a_configuration_costs_little(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        PipelineConfig.parse(text.encode(), Path(CONFIG))


def test_models_of_the_hub_are_taken_at_a_commit() -> None:
    own = "me/mine@" + "0a" * 20
    assert HubModel.named(own) == HubModel(repository="me/mine", commit="0a" * 20)
    assert HubModel.named("me/mine@main") is None
    for name in ("small", "turbo", "large-v3", "Systran/faster-whisper-medium"):
        assert len(str(HubModel.whisper(name).commit)) == 40


def test_every_name_of_faster_whisper_has_hashes_or_a_commit() -> None:
    from faster_whisper.utils import _MODELS

    for name, repository in _MODELS.items():
        listed = catalogue().find(f"whisper-{name}")
        if listed is None:
            assert HubModel.whisper(name).commit, name
            assert HubModel.whisper(name).commit == HubModel.whisper(repository).commit
        else:
            assert listed.hub == repository


def test_a_model_without_a_commit_is_downloaded_with_a_caution() -> None:
    assert HubModel.whisper("Systran/faster-whisper-small").caution == ""
    assert "write me/mine@COMMIT" in HubModel.whisper("me/mine").caution


@pytest.fixture(scope="module")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    from scripts.random_models import pyannote

    folder = tmp_path_factory.mktemp("random") / "pyannote"
    pyannote(folder, seed=1)
    return folder


@pytest.fixture
def model(random_model: Path, tmp_path: Path) -> Path:
    return linked(random_model, tmp_path)


@pytest.fixture
def refusal(model: Path) -> Iterator[Callable[[], str]]:
    with closing(ModelCache(CacheSettings(ttl_s=None))) as cache:
        engine = PyannoteDiarizer(str(model), cache=cache)

        def refused() -> str:
            with pytest.raises(ConfigurationError) as caught:
                answers(engine, DiarizeJob(key="a", pcm=silence(100), settings=ANY))
            return str(caught.value)

        yield refused


def test_a_checkpoint_changes_no_state_outside_it(model: Path, refusal: Callable[[], str]) -> None:
    import torch
    from pyannote.audio.core.task import Problem

    class Writing:
        def __reduce__(self) -> tuple[Any, ...]:
            return Problem, (1,), {"poison": True}

    path = model / "segmentation" / NETWORK
    checkpoint = torch.load(path, weights_only=False)
    torch.save({**checkpoint, "more": Writing()}, replaced(path))
    assert str(path) in refusal()
    assert not hasattr(Problem(1), "poison")


def test_tuples_that_grow_exponentially_are_refused_by_pyannote_too(model: Path, refusal: Callable[[], str]) -> None:
    path = model / "segmentation" / NETWORK
    content = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(replaced(path), "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename.endswith("data.pkl"):
                data = data[:2] + DOUBLED + data[2:]
            new.writestr(entry.filename, data)
    assert "its tuples hold more" in refusal()


def test_matrices_that_unpack_to_gigabytes_are_refused(model: Path, refusal: Callable[[], str]) -> None:
    path = model / "plda" / PLDA_FILES[0]
    np.savez_compressed(replaced(path), mean1=np.zeros(10_000_000))
    assert path.stat().st_size < 1 << 20
    assert "unpacked" in refusal()
