"""Loads a pyannote pipeline from a folder, without running what is in it.

By itself, pyannote.audio imports whatever classes config.yaml names, and runs what is in the checkpoints. Here every
file is read once, into memory, and pyannote gets finished objects: networks that were checked (networks.py), and the
matrices of the PLDA. It opens no file, so what was checked is what is used.

The layout of the folder is that of https://huggingface.co/pyannote/speaker-diarization-community-1.
"""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from zipfile import ZipFile

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.diarization.pyannote.networks import checked, network, read

if TYPE_CHECKING:
    from pyannote.audio import Model
    from pyannote.audio.core.plda import PLDA

    from sensory_pipeline.engines.diarization.pyannote.pipeline import FrugalDiarization

CONFIG = "config.yaml"
NETWORK = "pytorch_model.bin"
PLDA_FILES = ("xvec_transform.npz", "plda.npz")
MOST_CONFIG_BYTES = 1 << 16
"""The published ones have 600."""
MOST_PLDA_BYTES = 1 << 26
"""Unpacked size; the published ones have 0.3 MB."""
BATCH_SIZE = 32
"""Windows that go through a network at once; pyannote's own default is 1."""

Entry = Annotated[str, Field(pattern=r"^\$model(/[A-Za-z0-9_-]+)+$")]
"""A folder beside config.yaml. Without dots it cannot lead out, nor name another revision on the hub."""


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PipelineParameters(_Config):
    """Arguments of pyannote's SpeakerDiarization. The batch sizes are ignored; see BATCH_SIZE."""

    segmentation: Entry
    embedding: Entry
    plda: Entry | None = None
    clustering: Literal["VBxClustering", "AgglomerativeClustering"] = "VBxClustering"
    segmentation_step: float = Field(0.1, gt=0, le=1)
    embedding_exclude_overlap: bool = False
    segmentation_batch_size: int = 1
    embedding_batch_size: int = 1

    @model_validator(mode="after")
    def _can_cluster(self) -> Self:
        if self.clustering == "VBxClustering" and self.plda is None:
            raise ValueError("VBxClustering needs a plda")
        return self


class PipelineClass(_Config):
    """The class of the pipeline. Only one is allowed."""

    name: Literal[
        "pyannote.audio.pipelines.SpeakerDiarization",
        "pyannote.audio.pipelines.speaker_diarization.SpeakerDiarization",
    ]
    params: PipelineParameters


class PipelineConfig(_Config):
    """The content of config.yaml.

    Attributes:
        pipeline: The class and its arguments.
        params: Hyperparameters by stage.
        dependencies: Ignored.
        version: Ignored.
    """

    pipeline: PipelineClass
    params: dict[str, dict[str, float | int | str]] = {}
    dependencies: dict[str, str] = {}
    version: str | None = None

    @classmethod
    def parse(cls, content: bytes, path: Path) -> Self:
        """Read config.yaml.

        Args:
            content: Its bytes.
            path: Where it is, for messages.

        Raises:
            ConfigurationError: It is anything but such a pipeline.
        """
        try:
            if len(content) > MOST_CONFIG_BYTES:
                raise ValueError(f"it is larger than {MOST_CONFIG_BYTES} bytes")
            if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(content, yaml.SafeLoader)):
                raise ValueError("it has aliases, of which a few lines can make billions")
            return cls.model_validate(yaml.safe_load(content))
        except (yaml.YAMLError, ValidationError, ValueError, RecursionError) as error:
            reason = textwrap.shorten(str(error), 400)
            raise ConfigurationError(
                f"{path} was refused: it is not the configuration of a pyannote speaker diarization pipeline with "
                f"its parts in folders beside it ({reason}). Nothing it names was imported."
            ) from error

    @property
    def files(self) -> tuple[str, ...]:
        """Files relative to the folder: segmentation, embedding, and two of the PLDA if it has one."""
        params = self.pipeline.params
        networks = tuple(
            f"{entry.removeprefix('$model/')}/{NETWORK}" for entry in (params.segmentation, params.embedding)
        )
        if params.plda is None:
            return networks
        plda = params.plda.removeprefix("$model/")
        return *networks, *(f"{plda}/{name}" for name in PLDA_FILES)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PipelineFolder:
    """The files of a pipeline.

    Attributes:
        folder: Where they are.
        config: What config.yaml says.
        files: Content by path relative to the folder, config.yaml first.
    """

    folder: Path
    config: PipelineConfig
    files: Mapping[str, bytes]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the files of a pipeline.

        Raises:
            ConfigurationError: A file is missing, or config.yaml asks for what is not allowed.
        """
        content = read(folder / CONFIG, MOST_CONFIG_BYTES)
        config = PipelineConfig.parse(content, folder / CONFIG)
        return cls(
            folder=folder,
            config=config,
            files={CONFIG: content, **{name: read(folder / name) for name in config.files}},
        )

    @property
    def revision(self) -> str:
        """The commit of a folder of the hub; for any other, 12 hexadecimal digits that identify its content."""
        folder = self.folder.resolve()
        return folder.name if folder.parent.name == "snapshots" else digest(self.files)

    def pipeline(
        self, trusted_classes: frozenset[str], window_step: float | None = None
    ) -> tuple[FrugalDiarization, tuple[Model, Model]]:
        """The pipeline on the CPU, and the two networks in it.

        Args:
            trusted_classes: Networks allowed besides ARCHITECTURES.
            window_step: From one window to the next, as a fraction of a window; None for what config.yaml says.

        Raises:
            ConfigurationError: A checkpoint asks for more than a network needs, or is damaged; the message names the
                file.
        """
        from sensory_pipeline.engines.diarization.pyannote.pipeline import FrugalDiarization

        segmentation, embedding = (
            network(self.files[name], self.folder / name, trusted_classes) for name in self.config.files[:2]
        )
        plda = self._plda(*self.config.files[2:]) if self.config.pipeline.params.plda else None
        params = self.config.pipeline.params
        with checked(self.folder / CONFIG):
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
            if self.config.params:  # else pyannote uses its own
                pipeline.instantiate(self.config.params)
        return pipeline, (segmentation, embedding)

    def _plda(self, *names: str) -> PLDA:
        from pyannote.audio.core.plda import PLDA

        for name in names:
            with checked(self.folder / name):
                _require_plain_arrays(self.files[name])
        matrices: list[Any] = [BytesIO(self.files[name]) for name in names]
        with checked((self.folder / names[0]).parent):
            return PLDA(*matrices)


def digest(files: Mapping[str, bytes]) -> str:
    """12 hexadecimal digits that identify names and content of files."""
    found = hashlib.sha256()
    for name, content in files.items():
        found.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    return found.hexdigest()[:12]


def _require_plain_arrays(content: bytes) -> None:
    """Raises ValueError if an array would have to be unpickled, or the arrays take too much memory."""
    with ZipFile(BytesIO(content)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MOST_PLDA_BYTES:
            raise ValueError(f"it is larger than {MOST_PLDA_BYTES} bytes unpacked")
    with np.load(BytesIO(content), allow_pickle=False) as arrays:
        for name in arrays:
            arrays[name]
