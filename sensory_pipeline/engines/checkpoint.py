"""Reads weights from a checkpoint without running what is in it.

`torch.save` writes a network's tensors, alone or as `state_dict` beside other things, as a zip: `data.pkl`, and the
raw bytes of each tensor. A pickle is a program that may call anything that can be imported. The unpickler here imports
nothing: it knows the few names that such a checkpoint needs, builds arrays from tensors and placeholders from all
else (the settings of the training), and refuses every other name.

torch's own protection (`torch.load` with weights_only=True), by which networks of pyannote.audio are read, does not
suffice here: the speaker networks are read on machines without torch, and it refuses the checkpoint of GigaAM because
of the settings of its training, unless each of their classes is imported.

The same weights can be read from one safetensors file, which has bytes and shapes and nothing to run.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile, ZipFile

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from sensory_pipeline.core.arrays import Array
from sensory_pipeline.core.errors import ConfigurationError, brief
from sensory_pipeline.engines import pickle_depth

_STORAGES = {
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "DoubleStorage": "<f8",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}
_TYPE_NAMES = ("bool", "bytes", "dict", "float", "int", "list", "object", "set", "str", "tuple")
_BOXED = ("typing", "omegaconf", "pyannote", "lightning", "pytorch_lightning")
"""Packages whose objects are settings or describe the training."""
_DAMAGED = (
    pickle.UnpicklingError,
    SafetensorError,
    BadZipFile,
    EOFError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    NotImplementedError,  # a zip's own compression or encryption
    RecursionError,
    TypeError,
    ValueError,
)
"""What reading arbitrary bytes as a checkpoint can raise."""


def read_checkpoint(path: Path) -> dict[str, Array]:
    """The tensors of a checkpoint by name.

    Raises:
        ConfigurationError: There is no such file, it is not a checkpoint, or it is not harmless.
    """
    try:
        with path.open("rb") as file:
            return load_file(path) if path.suffix == ".safetensors" else _read_zip(file)
    except OSError as error:
        raise ConfigurationError(f"cannot read the checkpoint {path}: {error.strerror}") from error
    except _ForbiddenGlobal as error:
        raise ConfigurationError(
            f"refused to load the checkpoint {path}: it wants to call {error}, which no model needs; "
            "nothing of it was run. Do not use the file; get it from where it is published."
        ) from error
    except _DAMAGED as error:
        reason = brief(error)
        raise ConfigurationError(
            f"{path} is not a checkpoint of a network, or not all of it ({reason}); "
            "compare its size and checksum with the published file, and get it again"
        ) from error


def _read_zip(file: BinaryIO) -> dict[str, Array]:
    with ZipFile(file) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > file.seek(0, SEEK_END):
            raise ValueError("it would grow in memory, torch does not compress")
        (index,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        program = archive.read(index)
        pickle_depth.check(program)
        content = _Unpickler(archive, index, program).load()
    tensors = content.get("state_dict", content)
    if not tensors or not all(isinstance(value, np.ndarray) for value in tensors.values()):
        raise ValueError("it holds no tensors, or more than tensors")
    return dict(tensors)


class _ForbiddenGlobal(Exception):
    """The pickle names something other than data."""


class _Box:
    """Stands for any object of the configuration, which is not needed: the shapes say everything."""

    def __init__(self, *_: object) -> None: ...
    def __setstate__(self, _: object) -> None: ...
    def __setitem__(self, _: object, __: object) -> None: ...
    def append(self, _: object) -> None: ...


class _Rebuild:
    """Makes an array from a storage; replaces torch._utils._rebuild_tensor_v2."""

    __slots__ = ()

    def __call__(
        self, storage: Array, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: object
    ) -> Array:
        """`offset` and `stride` are in elements. numpy checks that all elements are inside the storage."""
        if not isinstance(
            storage, np.ndarray
        ):  # an object that only looks like one could make numpy follow any pointer
            raise TypeError("a tensor without a storage")
        size = storage.itemsize
        steps = tuple(step * size for step in stride)
        tensor: Array = np.ndarray(shape, storage.dtype, storage.data, offset * size, steps)
        if tensor.size > storage.size:  # steps of 0 would make any size of a single number
            raise ValueError("a tensor larger than its storage")
        return tensor


# A pickle cannot set attributes of any of these, and so cannot change how the next checkpoint is read.
_KNOWN: Mapping[tuple[str, str], object] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): _Box,
    ("torch._utils", "_rebuild_tensor_v2"): _Rebuild(),
    ("torch.torch_version", "TorchVersion"): _Box,
    **{("torch", name): dtype for name, dtype in _STORAGES.items()},
    **{(module, name): _Box for module in ("builtins", "__builtin__") for name in _TYPE_NAMES},
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, archive: ZipFile, index: str, program: bytes) -> None:
        super().__init__(BytesIO(program))
        self._archive = archive
        self._folder = index.removesuffix("data.pkl") + "data/"
        self._storages: dict[str, Array] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] in _BOXED:
            return _Box
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise _ForbiddenGlobal(f"{module}.{name}") from None

    def persistent_load(self, reference: tuple[str, str, str, str, int]) -> Array:
        """One storage, shape (length,), which several tensors may share."""
        _, dtype, key, _, length = reference
        if dtype not in _STORAGES.values():
            raise ValueError(f"storage {key} does not say what numbers it holds")
        if key not in self._storages:
            # a bytearray, since torch wants memory it may write to
            data = bytearray(self._archive.read(self._folder + key))
            self._storages[key] = np.frombuffer(data, dtype)
        if self._storages[key].shape != (length,):
            raise ValueError(f"storage {key} is of another length")
        return self._storages[key]
