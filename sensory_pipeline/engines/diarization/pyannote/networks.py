"""Loads a network from a checkpoint without running what is in it.

By itself, pyannote.audio unpickles a checkpoint (`torch.load` with weights_only=False), which may call anything,
and imports whatever class it names. Here a checkpoint may hold only plain values and tensors, and its network must be
of a known class.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import pickle
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import EnumMeta
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

from sensory_pipeline.core.errors import ConfigurationError, brief
from sensory_pipeline.engines import pickle_depth

if TYPE_CHECKING:
    from pyannote.audio import Model
    from pyannote.audio.core.task import Specifications

ARCHITECTURES = frozenset(
    {
        "pyannote.audio.models.segmentation.PyanNet.PyanNet",
        "pyannote.audio.models.embedding.wespeaker.WeSpeakerResNet34",
        "pyannote.audio.models.embedding.wespeaker.WeSpeakerResNet152",
        "pyannote.audio.models.embedding.wespeaker.WeSpeakerResNet221",
        "pyannote.audio.models.embedding.wespeaker.WeSpeakerResNet293",
        "pyannote.audio.models.embedding.xvector.XVectorMFCC",
        "pyannote.audio.models.embedding.xvector.XVectorSincNet",
    }
)
"""Networks that a checkpoint may name: their arguments are sizes, and they load nothing themselves."""

_DAMAGED = (
    pickle.UnpicklingError,
    AssertionError,
    ArithmeticError,
    AttributeError,
    BadZipFile,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RecursionError,
    RuntimeError,  # torch's own reader of zips, and shapes that do not fit
    TypeError,
    ValueError,
)
"""What making a network or a PLDA from arbitrary bytes can raise."""

_weights_only = threading.Lock()  # what torch.load may build is a setting of the process


def read(path: Path, most_bytes: int | None = None) -> bytes:
    """The content of a file.

    Args:
        path: The file.
        most_bytes: The largest size allowed; None for no limit.

    Raises:
        ConfigurationError: It cannot be read, or is larger.
    """
    try:
        with path.open("rb") as file:
            content = file.read(-1 if most_bytes is None else most_bytes + 1)
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {path} ({error.strerror}), a part of the diarization model: get the whole folder again"
        ) from error
    if most_bytes is not None and len(content) > most_bytes:
        raise ConfigurationError(f"{path} was refused: it is larger than {most_bytes} bytes, and no model's is")
    return content


@contextmanager
def checked(path: Path) -> Iterator[None]:
    """Turn every error that arbitrary bytes in a file can cause into one.

    Raises:
        ConfigurationError: The file is damaged or holds something else; the message names `path`.
    """
    try:
        yield
    except _DAMAGED as error:
        reason = brief(error)
        raise ConfigurationError(
            f"{path} was refused: it is no part of a pyannote speaker diarization pipeline, or not all of it "
            f"({reason}). Nothing of it was run. Get it again from where it is published."
        ) from error


def network(content: bytes, path: Path, trusted_classes: frozenset[str] = frozenset()) -> Model:
    """The network that lightning's load_from_checkpoint would make, from values checked one by one.

    Args:
        content: Bytes of the checkpoint.
        path: Where it is, for messages.
        trusted_classes: Networks allowed besides ARCHITECTURES.

    Raises:
        ConfigurationError: The checkpoint asks for more than a network needs, or is damaged; the message names `path`.
    """
    with checked(path):
        return _network(content, path, ARCHITECTURES | trusted_classes)


def campplus(content: bytes, path: Path) -> Model:
    """CAM++, whose checkpoint holds only its tensors.

    Raises:
        ConfigurationError: As `network`.
    """
    from sensory_pipeline.engines.diarization.pyannote.campplus import CamPlusPlus

    with checked(path):
        return CamPlusPlus.restored(_plain(content, path)[0])


def _network(content: bytes, path: Path, architectures: frozenset[str]) -> Model:
    from torch.nn import Module

    checkpoint, described = _plain(content, path)
    about = checkpoint["pyannote.audio"]
    module, name = about["architecture"]["module"], about["architecture"]["class"]
    if f"{module}.{name}" not in architectures:
        raise _refused(path, f"{module}.{name}")
    specifications = _specifications(about["specifications"], described)
    hyperparameters = json.loads(json.dumps(checkpoint["hyper_parameters"]))  # nothing else than values passes
    architecture: Any = getattr(import_module(module), name)
    is_network = isinstance(architecture, type) and issubclass(architecture, Module)
    if not is_network:
        raise _refused(path, f"{module}.{name}, which is no torch module")
    accepted = inspect.signature(architecture).parameters
    made: Model = architecture(**{key: value for key, value in hyperparameters.items() if key in accepted})
    made.on_load_checkpoint({"pyannote.audio": {"specifications": specifications}})
    made.load_state_dict(checkpoint["state_dict"])
    return made.eval()


def _plain(content: bytes, path: Path) -> tuple[dict[str, Any], type]:
    """The checkpoint, made of tensors and plain values, and the class in it for pyannote's description of a task.

    torch lets a pickle set attributes (BUILD) of objects of any class that may be named. So no class of pyannote may be
    named: a class made for this checkpoint replaces Specifications, and a callable that returns enum members replaces
    the enums.
    """
    import torch
    from pyannote.audio.core.task import Problem, Resolution

    described = type("Specifications", (), {})
    named = "pyannote.audio.core.task"
    harmless: list[Any] = [
        (described, f"{named}.Specifications"),
        (_Members(Problem), f"{named}.Problem"),
        (_Members(Resolution), f"{named}.Resolution"),
        (str, "torch.torch_version.TorchVersion"),
        (_member, "builtins.getattr"),  # by which some versions of Python, such as 3.11.2, pickle a member of an enum
    ]
    with ZipFile(BytesIO(content)) as archive:
        names = [entry.filename for entry in archive.infolist()]
        if len(set(names)) < len(names) or sum(entry.file_size for entry in archive.infolist()) > len(content):
            raise ValueError("its archive holds more than it should")
        for name in names:
            if name.endswith("/data.pkl"):
                pickle_depth.check(archive.read(name))
    with _weights_only, torch.serialization.safe_globals(harmless):
        forbidden = torch.serialization.get_unsafe_globals_in_checkpoint(BytesIO(content))
        if forbidden:
            raise _refused(path, ", ".join(sorted(forbidden)))
        checkpoint: dict[str, Any] = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
        return checkpoint, described


def _specifications(found: object, described: type) -> Specifications:
    from pyannote.audio.core.task import Specifications

    if type(found) is not described:
        raise TypeError("there are no specifications of what the network was trained for")
    given = vars(found)
    names = [field.name for field in dataclasses.fields(Specifications) if field.init]
    return Specifications(**{name: given[name] for name in names if name in given})


class _Members:
    """Replaces an enum: returns its members, but is not a class."""

    __slots__ = ("enum",)

    def __init__(self, enum: EnumMeta) -> None:
        self.enum = enum

    def __call__(self, value: object) -> object:
        return self.enum(value)


def _member(owner: object, name: str) -> object:
    """Like getattr, but only for members of an enum: a pickle could get hold of anything with getattr."""
    if isinstance(owner, _Members) and name in owner.enum.__members__:
        return owner.enum.__members__[name]
    raise pickle.UnpicklingError(f"it asks {owner!r} for {name!r}")


def _refused(path: Path, names: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path} was refused: it names {names}, which no diarization model needs; nothing of it was run. "
        "Do not use the file; get it from where it is published."
    )
