"""A pyannote pipeline of networks that ask for no token: segmentation-3.0 (MIT) and CAM++ (Apache-2.0).

Voices are clustered bottom-up by the distance of their means. The threshold is one that real meetings and calls bear
out together with this embedding; what pyannote publishes for its own embeddings does not fit it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sensory_pipeline.engines.diarization.pyannote.checkpoints import BATCH_SIZE, digest
from sensory_pipeline.engines.diarization.pyannote.networks import campplus, network, read

if TYPE_CHECKING:
    from pyannote.audio import Model

    from sensory_pipeline.engines.diarization.pyannote.pipeline import FrugalDiarization

OPEN = "open"
"""The name of this pipeline, where others have a folder or a hub id."""
SEGMENTATION = "segmentation-3.0"
EMBEDDING = "campplus"
PARAMETERS = {
    "segmentation": {"min_duration_off": 0.0},
    "clustering": {"method": "centroid", "min_cluster_size": 4, "threshold": 0.75},
}
"""threshold: the Euclidean distance of two means of unit vectors at which they are two speakers."""
_STEP = 0.1  # from window to window, as a part of one
FILES = {SEGMENTATION: "pytorch_model.bin", EMBEDDING: "campplus_cn_en_common.pt"}

Verified = Callable[[str], Path]
"""The folder of a model by its name in the catalogue, with the published files; else raises ConfigurationError."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpenPipeline:
    """What the pipeline is made of. paths, files: where each network was read from and what was there, by its name."""

    paths: dict[str, Path]
    files: dict[str, bytes]

    @classmethod
    def read(cls, verified: Verified) -> Self:
        """Raises ConfigurationError when a network is missing."""
        paths = {name: verified(name) / file for name, file in FILES.items()}
        return cls(paths=paths, files={name: read(path) for name, path in paths.items()})

    @property
    def revision(self) -> str:
        """12 hexadecimal digits that stand for the networks and their parameters."""
        return digest({**self.files, "parameters": repr(PARAMETERS).encode()})

    def pipeline(
        self, _trusted_classes: frozenset[str] = frozenset(), window_step: float | None = None
    ) -> tuple[FrugalDiarization, tuple[Model, Model]]:
        """The pipeline on the CPU, and the two networks in it. Raises ConfigurationError, naming the file, when a
        checkpoint asks for more than a network needs, or is damaged."""
        from sensory_pipeline.engines.diarization.pyannote.pipeline import FrugalDiarization

        segmentation = network(self.files[SEGMENTATION], self.paths[SEGMENTATION])
        embedding = campplus(self.files[EMBEDDING], self.paths[EMBEDDING])
        pipeline = FrugalDiarization(
            segmentation=segmentation,
            segmentation_step=window_step or _STEP,
            segmentation_batch_size=BATCH_SIZE,
            embedding=embedding,
            embedding_batch_size=BATCH_SIZE,
            embedding_exclude_overlap=True,
            clustering="AgglomerativeClustering",
        )
        pipeline.instantiate(PARAMETERS)
        return pipeline, (segmentation, embedding)
