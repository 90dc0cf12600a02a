"""Checkpoints as torch writes them, good or evil, without torch."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np

from sensory_pipeline.core.arrays import Array


@dataclass(frozen=True)
class Global:
    """What can be imported by this name."""

    path: str


@dataclass(frozen=True)
class Call:
    """What a function answers."""

    function: Global
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Built:
    """An object that was given its state."""

    target: object
    state: object


@dataclass(frozen=True)
class Storage:
    """The bytes of tensors, beside the pickle."""

    key: str
    length: int
    type: Global | str = Global("torch.FloatStorage")


def opcodes(value: object) -> bytes:
    """A pickle of these, good or evil, written without importing what it names."""
    match value:
        case Global(path):
            module, name = ("collections", path[12:]) if path.startswith("collections.") else path.rsplit(".", 1)
            return f"c{module}\n{name}\n".encode()
        case Call(function, arguments):
            return opcodes(function) + opcodes(arguments) + b"R"
        case Built(target, state):
            return opcodes(target) + opcodes(state) + b"b"
        case Storage(key, length, kind):
            return opcodes(("storage", kind, key, "cpu", length)) + b"Q"
        case dict():
            return b"}(" + b"".join(opcodes(key) + opcodes(item) for key, item in value.items()) + b"u"
        case tuple():
            return b"(" + b"".join(map(opcodes, value)) + b"t"
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case bytes():
            return b"C" + bytes([len(value)]) + value
        case int():
            return b"J" + struct.pack("<i", value)
        case None:
            return b"N"
    raise TypeError(value)


REBUILD = Global("torch._utils._rebuild_tensor_v2")
EMPTY = Call(Global("collections.OrderedDict"), ())
POINTER = Built(EMPTY, {"itemsize": 8, "dtype": "O", "data": bytes(8)})


def tensor(
    shape: tuple[int, ...], stride: tuple[int, ...], *, offset: int = 0, key: str = "0", length: int = 12
) -> Call:
    arguments = (Storage(key, length), offset, shape, stride, 0, None)
    return Call(REBUILD, arguments)


def write_zip(path: Path, content: object, *, before: bytes = b"") -> Path:
    """A checkpoint whose pickle holds the content, with storage "0": 12 float32, 0 to 11."""
    with ZipFile(path, "w") as archive:
        archive.writestr("emo/data.pkl", b"\x80\x02" + before + opcodes(content) + b".")
        archive.writestr("emo/data/0", np.arange(12, dtype="<f4").tobytes())
    return path


def write_checkpoint(path: Path, tensors: Mapping[str, Array]) -> Path:
    """A checkpoint of these tensors alone, float32 or int64."""
    kinds = {"float32": Global("torch.FloatStorage"), "int64": Global("torch.LongStorage")}
    content = {}
    with ZipFile(path, "w") as archive:
        for key, (name, values) in enumerate(tensors.items()):
            strides = tuple(step // values.itemsize for step in np.ascontiguousarray(values).strides[: values.ndim])
            storage = Storage(str(key), values.size, kinds[values.dtype.name])
            content[name] = Call(REBUILD, (storage, 0, values.shape, strides, 0, None))
            archive.writestr(f"archive/data/{key}", values.tobytes())
        archive.writestr("archive/data.pkl", b"\x80\x02" + opcodes(content) + b".")
    return path
