"""A pyannote pipeline out of a folder, without running what is in it.

Left to itself, pyannote.audio unpickles a checkpoint (`torch.load` with weights_only=False), which
may call anything; imports the class it names, whichever that is; and so it does with the classes
that config.yaml names. Here every file is read once, into memory, and pyannote is handed finished
objects: networks of the classes listed below, made of plain values and tensors alone, and the
matrices of the PLDA. It opens no file, so what was checked is what is used.

The layout of the folder is that of https://huggingface.co/pyannote/speaker-diarization-community-1.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import pickle
import textwrap
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, EnumMeta
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from zipfile import BadZipFile

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sensory_pipeline.core.errors import ConfigurationError

if TYPE_CHECKING:
    from pyannote.audio import Model

    from sensory_pipeline.engines.diarization.pipeline import FrugalDiarization

CONFIG = "config.yaml"
NETWORK = "pytorch_model.bin"
PLDA_FILES = ("xvec_transform.npz", "plda.npz")
BATCH_SIZE = 32
"""Windows that go through a network at once; pyannote's own default is 1."""

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
"""Networks a checkpoint may be of: what they are given are sizes, and they load nothing themselves."""

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
"""What making a network or a PLDA of arbitrary bytes can raise."""

_weights_only = threading.Lock()  # what torch.load may build is a setting of the process

Entry = Annotated[str, Field(pattern=r"^\$model(/[A-Za-z0-9_-]+)+$")]
"""A folder beside config.yaml. Without dots it cannot lead out, nor name another revision on the hub."""


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PipelineParameters(_Config):
    """Arguments of pyannote's SpeakerDiarization. Its batch sizes are read and not used: see BATCH_SIZE."""

    segmentation: Entry
    embedding: Entry
    plda: Entry
    clustering: Literal["VBxClustering", "AgglomerativeClustering"] = "VBxClustering"
    segmentation_step: float = Field(0.1, gt=0, le=1)
    embedding_exclude_overlap: bool = False
    segmentation_batch_size: int = 1
    embedding_batch_size: int = 1


class PipelineClass(_Config):
    """The class of the pipeline. There is one."""

    name: Literal[
        "pyannote.audio.pipelines.SpeakerDiarization",
        "pyannote.audio.pipelines.speaker_diarization.SpeakerDiarization",
    ]
    params: PipelineParameters


class PipelineConfig(_Config):
    """config.yaml. params: hyperparameters by stage; dependencies and version are not looked at."""

    pipeline: PipelineClass
    params: dict[str, dict[str, float | int | str]] = {}
    dependencies: dict[str, str] = {}
    version: str | None = None

    @classmethod
    def parse(cls, content: bytes, path: Path) -> Self:
        """Raises ConfigurationError, by the name of `path`, for anything but such a pipeline."""
        try:
            return cls.model_validate(yaml.safe_load(content))
        except (yaml.YAMLError, ValidationError, UnicodeDecodeError, RecursionError) as error:
            reason = textwrap.shorten(str(error), 400)
            raise ConfigurationError(
                f"{path} was refused: it is not the configuration of a pyannote speaker diarization pipeline with "
                f"its parts in folders beside it ({reason}). Nothing it names was imported."
            ) from error

    @property
    def files(self) -> tuple[str, ...]:
        """Of the parts, relative to the folder: segmentation, embedding, and two of the PLDA."""
        params = self.pipeline.params
        segmentation, embedding, plda = (
            entry.removeprefix("$model/") for entry in (params.segmentation, params.embedding, params.plda)
        )
        return f"{segmentation}/{NETWORK}", f"{embedding}/{NETWORK}", *(f"{plda}/{name}" for name in PLDA_FILES)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PipelineFolder:
    """What a pipeline is made of. files: content by path relative to the folder, config.yaml first."""

    folder: Path
    config: PipelineConfig
    files: Mapping[str, bytes]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises ConfigurationError when a file is missing, or config.yaml asks for what is not allowed."""
        content = _read(folder / CONFIG)
        config = PipelineConfig.parse(content, folder / CONFIG)
        return cls(
            folder=folder,
            config=config,
            files={CONFIG: content, **{name: _read(folder / name) for name in config.files}},
        )

    @property
    def digest(self) -> str:
        """12 hexadecimal digits that stand for the content of all files."""
        digest = hashlib.sha256()
        for name, content in self.files.items():
            digest.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
        return digest.hexdigest()[:12]

    def pipeline(
        self, trusted_classes: frozenset[str], window_step: float | None = None
    ) -> tuple[FrugalDiarization, tuple[Model, Model]]:
        """The pipeline on the CPU, and the two networks in it.

        trusted_classes: networks allowed besides ARCHITECTURES; window_step: from one window to the next,
        as a part of a window, instead of what config.yaml says. Raises ConfigurationError, naming
        the file, when a checkpoint asks for more than a network needs, or is damaged.
        """
        from pyannote.audio.core.plda import PLDA

        from sensory_pipeline.engines.diarization.pipeline import FrugalDiarization

        segmentation_file, embedding_file, *plda_files = self.config.files
        networks = []
        for name in (segmentation_file, embedding_file):
            with _checked(self.folder / name):
                networks.append(_network(self.files[name], self.folder / name, ARCHITECTURES | trusted_classes))
        segmentation, embedding = networks
        for name in plda_files:
            with _checked(self.folder / name):
                _require_plain_arrays(self.files[name])
        matrices: list[Any] = [BytesIO(self.files[name]) for name in plda_files]
        with _checked((self.folder / plda_files[0]).parent):
            plda = PLDA(*matrices)
        params = self.config.pipeline.params
        with _checked(self.folder / CONFIG):
            pipeline = FrugalDiarization(
                segmentation=segmentation,
                segmentation_step=window_step or params.segmentation_step,
                segmentation_batch_size=BATCH_SIZE,
                embedding=embedding,
                embedding_batch_size=BATCH_SIZE,
                embedding_exclude_overlap=params.embedding_exclude_overlap,
                plda=plda,
                clustering=params.clustering,
            )
            if self.config.params:  # else pyannote takes its own
                pipeline.instantiate(self.config.params)
        return pipeline, (segmentation, embedding)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {path} ({error.strerror}), a part of the diarization model: get the whole folder again"
        ) from error


@contextmanager
def _checked(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        reason = textwrap.shorten(f"{type(error).__name__}: {error}", 300)
        raise ConfigurationError(
            f"{path} was refused: it is no part of a pyannote speaker diarization pipeline, or not all of it "
            f"({reason}). Nothing of it was run. Get it again from where it is published."
        ) from error


def _network(content: bytes, path: Path, architectures: frozenset[str]) -> Model:
    """As lightning's load_from_checkpoint makes it, from values that were looked at one by one."""
    from pyannote.audio.core.task import Specifications

    checkpoint = _plain(content, path)
    about = checkpoint["pyannote.audio"]
    module, name = about["architecture"]["module"], about["architecture"]["class"]
    if f"{module}.{name}" not in architectures:
        raise _refused(path, f"{module}.{name}")
    if type(about["specifications"]) is not Specifications:
        raise TypeError("there are no specifications of what the network was trained for")
    hyperparameters = json.loads(json.dumps(checkpoint["hyper_parameters"]))  # nothing else than values passes
    architecture: Any = getattr(import_module(module), name)
    accepted = inspect.signature(architecture).parameters
    network: Model = architecture(**{key: value for key, value in hyperparameters.items() if key in accepted})
    # a new one, since a pickle may give an object attributes that its class does not have
    specifications = dataclasses.replace(about["specifications"])
    network.on_load_checkpoint({"pyannote.audio": {"specifications": specifications}})
    network.load_state_dict(checkpoint["state_dict"])
    return network.eval()


def _plain(content: bytes, path: Path) -> dict[str, Any]:
    """The checkpoint, of tensors, plain values, and pyannote's description of a task."""
    import torch
    from pyannote.audio.core.task import Problem, Resolution, Specifications

    harmless: list[Any] = [
        Specifications,
        Problem,
        Resolution,
        (str, "torch.torch_version.TorchVersion"),
        (_member, "builtins.getattr"),  # by which Python 3.11.2 and some others name the member of an enum
    ]
    with _weights_only, torch.serialization.safe_globals(harmless):
        forbidden = torch.serialization.get_unsafe_globals_in_checkpoint(BytesIO(content))
        if forbidden:
            raise _refused(path, ", ".join(sorted(forbidden)))
        checkpoint: dict[str, Any] = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
        return checkpoint


def _member(owner: object, name: str) -> Enum:
    """What getattr gives of an enum; of nothing else, for by it a pickle could get hold of anything."""
    if isinstance(owner, EnumMeta) and name in owner.__members__:
        return owner.__members__[name]
    raise pickle.UnpicklingError(f"it asks {owner!r} for {name!r}")


def _refused(path: Path, names: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path} was refused: it names {names}, which no diarization model needs; nothing of it was run. "
        "Do not use the file; get it from where it is published."
    )


def _require_plain_arrays(content: bytes) -> None:
    """Raises ValueError when an array would have to be unpickled."""
    with np.load(BytesIO(content), allow_pickle=False) as arrays:
        for name in arrays:
            arrays[name]
