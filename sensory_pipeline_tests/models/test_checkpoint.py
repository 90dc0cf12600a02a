"""Weights are read without running anything, and what is no checkpoint is an error. Needs no torch."""

from __future__ import annotations

import json
import pickle
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.checkpoint import read_checkpoint
from sensory_pipeline_tests import places
from sensory_pipeline_tests.checkpoint_files import (
    EMPTY,
    POINTER,
    REBUILD,
    Built,
    Call,
    Global,
    Storage,
    opcodes,
    tensor,
    write_checkpoint,
    write_zip,
)

CHECKPOINT = places.DATA / "gigaam" / "emo.ckpt"

FORBIDDEN = (
    "posix.system",
    "os.system",
    "subprocess.call",
    "builtins.exec",
    "__builtin__.eval",
    "builtins.getattr",
    "pickle.loads",
    "torch.hub.load",
    "torch.storage._load_from_bytes",
    "torch._utils._rebuild_tensor_v2.__globals__.get",
    "collections.OrderedDict.__reduce__",
)


def test_weights_are_read_as_they_were_saved() -> None:
    tensors = read_checkpoint(CHECKPOINT)
    window = tensors["preprocessor.featurizer.0.spectrogram.window"]
    np.testing.assert_allclose(window, np.hanning(401)[:-1], atol=1e-6)
    assert tensors["encoder.layers.1.self_attn.pos_bias_u"].shape == (4, 16)
    assert tensors["encoder.layers.0.conv.batch_norm.num_batches_tracked"].shape == ()
    assert len(tensors) == 90
    assert all(np.isfinite(values).all() for values in tensors.values())


def test_tensors_alone_are_a_checkpoint_too(tmp_path: Path) -> None:
    read = read_checkpoint(write_zip(tmp_path / "a.pt", {"x": tensor((12,), (1,)), "n": tensor((), (), offset=3)}))
    np.testing.assert_array_equal(read["x"], np.arange(12))
    assert read["n"] == 3


def test_classes_of_the_training_are_not_imported(tmp_path: Path) -> None:
    names = ("pyannote.nothing.Task", "lightning.nothing.Callback", "torch.torch_version.TorchVersion")
    about = {name: Built(Call(Global(name), (1,)), {"a": 2}) for name in names}
    read = read_checkpoint(write_zip(tmp_path / "a.ckpt", {**about, "state_dict": {"x": tensor((12,), (1,))}}))
    assert list(read) == ["x"]


def test_checkpoints_written_for_tests_are_read(tmp_path: Path) -> None:
    tensors = {"a": np.ones((2, 3), np.float32), "b": np.array(7)}
    read = read_checkpoint(write_checkpoint(tmp_path / "a.pt", tensors))
    assert list(read) == ["a", "b"]
    for name, values in tensors.items():
        np.testing.assert_array_equal(read[name], values)
        assert read[name].dtype == values.dtype


def test_tensors_may_share_a_storage_with_any_strides(tmp_path: Path) -> None:
    tensors = {"whole": tensor((3, 4), (4, 1)), "turned": tensor((4, 2), (1, 4), offset=4)}
    read = read_checkpoint(write_zip(tmp_path / "a.ckpt", {"state_dict": tensors}))
    whole = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(read["whole"], whole)
    np.testing.assert_array_equal(read["turned"], whole[1:].T)


@pytest.mark.parametrize("name", FORBIDDEN)
@pytest.mark.parametrize("place", ["before", "cfg", "nested", "state_dict"])
def test_a_checkpoint_that_calls_something_is_refused_before_it_does(name: str, place: str, tmp_path: Path) -> None:
    call = Call(Global(name), (f"touch {tmp_path}/ran",))
    good = {"state_dict": {"x": tensor((12,), (1,))}}
    contents: dict[str, object] = {
        "before": good,
        "cfg": {"cfg": call, **good},
        "nested": {
            "cfg": Built(Call(Global("omegaconf.dictconfig.DictConfig"), ()), {"_content": {"a": call}}),
            **good,
        },
        "state_dict": {"state_dict": Built(EMPTY, {"_metadata": call})},
    }
    before = opcodes(call) + b"0" if place == "before" else b""
    path = write_zip(tmp_path / "emo.ckpt", contents[place], before=before)
    with pytest.raises(ConfigurationError, match="refused") as caught:
        read_checkpoint(path)
    assert name in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_the_attack_is_real(tmp_path: Path) -> None:
    pickle.loads(b"\x80\x02" + opcodes(Call(Global("posix.system"), (f"touch {tmp_path}/ran",))) + b".")
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("target", ["omegaconf.dictconfig.DictConfig", "torch._utils._rebuild_tensor_v2"])
def test_a_checkpoint_cannot_change_how_the_next_is_read(target: str, tmp_path: Path) -> None:
    for name in ("__setstate__", "__init__", "__setitem__", "__call__"):
        before = opcodes(Built(Global(target), (None, {name: 1}))) + b"0"
        with suppress(ConfigurationError):
            read_checkpoint(write_zip(tmp_path / "evil.ckpt", {"state_dict": {}}, before=before))
    assert len(read_checkpoint(CHECKPOINT)) == 90


@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        {"state_dict": None},
        {"state_dict": {"x": 1}},
        {"state_dict": {"x": tensor((13,), (1,))}},
        {"state_dict": {"x": tensor((12,), (1,), offset=1)}},
        {"state_dict": {"x": tensor((2, 2), (1, 1000))}},
        {"state_dict": {"x": tensor((2,), (-1,))}},
        {"state_dict": {"x": tensor((12,), (1,), offset=-1)}},
        {"state_dict": {"x": tensor((12,), (1,), length=13)}},
        {"state_dict": {"x": tensor((12,), (1,), key="../data.pkl")}},
        {"state_dict": {}},
        {"state_dict": {"x": tensor((10**9,), (0,))}},
        {"state_dict": {"x": tensor((4, 4), (1, 1))}},
        {"state_dict": {"x": tensor(("much", 10**9), (1, 1))}},  # type: ignore[arg-type]
        {"state_dict": {"x": tensor((12,), (1,), length=2**31 - 1)}},
        {"state_dict": {"x": Call(REBUILD, ())}},
        {"state_dict": {"x": Call(REBUILD, (Storage("0", 12, "S4"), 0, (12,), (1,)))}},
        # numpy would follow pointers written in the file
        {"state_dict": {"x": Call(REBUILD, (Storage("0", 6, "O"), 0, (6,), (1,)))}},
        {"state_dict": {"x": Call(REBUILD, (POINTER, 0, (1,), (1,)))}},
    ],
)
def test_an_invalid_checkpoint_is_an_error(content: object, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not a checkpoint of a network"):
        read_checkpoint(write_zip(tmp_path / "a.ckpt", content))


def test_a_small_file_does_not_become_a_large_one(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.ckpt", {"x": tensor((12,), (1,))})
    with ZipFile(path, "a", ZIP_DEFLATED) as archive:
        archive.writestr("emo/data/1", bytes(1 << 20))
    with pytest.raises(ConfigurationError, match="grow in memory"):
        read_checkpoint(path)


def test_nesting_does_not_overflow_the_stack(tmp_path: Path) -> None:
    nested = b"})" + b"\x85" * 1_000_000 + b"K\x01s0"  # a dict with such a key, dropped again
    with pytest.raises(ConfigurationError, match="its tuples hold more"):
        read_checkpoint(write_zip(tmp_path / "a.ckpt", {"x": tensor((12,), (1,))}, before=nested))
    nested = b"}" + b"]" * 1_000_000 + b"a" * 999_999 + b"0" + b"0"  # lists in lists, which nobody hashes
    assert read_checkpoint(write_zip(tmp_path / "a.ckpt", {"x": tensor((12,), (1,))}, before=nested))


@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # Python's, of a byte that became a text opcode
@settings(deadline=None, max_examples=200)
@given(st.data())
def test_changed_opcodes_are_an_error_or_harmless(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    program = bytearray(b"\x80\x02" + opcodes({"state_dict": {"x": tensor((3, 4), (4, 1))}}) + b".")
    for _ in range(data.draw(st.integers(1, 3))):
        program[data.draw(st.integers(0, len(program) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("changed") / "a.ckpt"
    with ZipFile(path, "w") as archive:
        archive.writestr("emo/data.pkl", bytes(program))
        archive.writestr("emo/data/0", np.arange(12, dtype="<f4").tobytes())
    with suppress(ConfigurationError):
        for values in read_checkpoint(path).values():
            assert values.size <= 12
            values.sum()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, CHECKPOINT.stat().st_size - 1))
def test_part_of_a_checkpoint_is_an_error(tmp_path_factory: pytest.TempPathFactory, size: int) -> None:
    path = tmp_path_factory.mktemp("part") / "emo.ckpt"
    path.write_bytes(CHECKPOINT.read_bytes()[:size])
    with pytest.raises(ConfigurationError, match="get it again"):
        read_checkpoint(path)


def test_a_changed_byte_is_an_error(tmp_path: Path) -> None:
    data = bytearray(CHECKPOINT.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "emo.ckpt").write_bytes(data)
    with pytest.raises(ConfigurationError, match="CRC"):
        read_checkpoint(tmp_path / "emo.ckpt")


@pytest.mark.parametrize("name", ["nowhere.ckpt", "."])
def test_an_unreadable_file_is_an_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_checkpoint(tmp_path / name)


def safetensors(header: dict[str, object], data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_safetensors_are_read_too(tmp_path: Path) -> None:
    entries: dict[str, object] = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b": {"dtype": "I64", "shape": [], "data_offsets": [24, 32]},
    }
    data = np.arange(6, dtype="<f4").tobytes() + struct.pack("<q", 7)
    path = tmp_path / "emo.safetensors"
    path.write_bytes(safetensors(entries, data))
    read = read_checkpoint(path)
    np.testing.assert_array_equal(read["a"], [[0, 1, 2], [3, 4, 5]])
    assert read["b"].shape == () and read["b"].dtype == np.int64 and int(read["b"]) == 7
    for damaged in (b"", data[:16], safetensors(entries, data[:16]), safetensors({"a": 1}, data), data * 9):
        path.write_bytes(damaged)
        with pytest.raises(ConfigurationError, match="is not a checkpoint of a network"):
            read_checkpoint(path)
