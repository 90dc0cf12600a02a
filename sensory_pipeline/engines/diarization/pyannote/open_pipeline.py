"""A pyannote pipeline of networks that need no token: segmentation-3.0 (MIT) and CAM++ (Apache-2.0).

Speakers are clustered bottom-up by the distance of their centroids. The threshold was tuned on real meetings and calls
for this embedding; what pyannote publishes for its own embeddings does not fit it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sensory_pipeline.engines.diarization.open_networks import EMBEDDING, FILES, SEGMENTATION
from sensory_pipeline.engines.diarization.pyannote.checkpoints import BATCH_SIZE, digest
from sensory_pipeline.engines.diarization.pyannote.networks import campplus, network, read

if TYPE_CHECKING:
    from pyannote.audio import Model

    from sensory_pipeline.engines.diarization.pyannote.pipeline import FrugalDiarization

OPEN = "open"
"""The name of this pipeline; others have a folder or a hub id."""
PARAMETERS = {
    "segmentation": {"min_duration_off": 0.0},
    "clustering": {"method": "centroid", "min_cluster_size": 4, "threshold": 0.75},
}
"""The threshold is the Euclidean distance of two centroids of unit vectors at which they are two speakers."""
_STEP = 0.1  # from one window to the next, as a fraction of a window

Verified = Callable[[str], Path]
"""Returns the folder of a model, by its name in the catalogue, or raises ConfigurationError."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpenPipeline:
    """The networks of the pipeline, by name.

    Attributes:
        paths: Where each was read from.
        files: Its content.
    """

    paths: dict[str, Path]
    files: dict[str, bytes]

    @classmethod
    def read(cls, verified: Verified) -> Self:
        """Read the networks.

        Raises:
            ConfigurationError: A network is missing.
        """
        paths = {name: verified(name) / file for name, file in FILES.items()}
        return cls(paths=paths, files={name: read(path) for name, path in paths.items()})

    @property
    def revision(self) -> str:
        """12 hexadecimal digits that identify the networks and their parameters."""
        return digest({**self.files, "parameters": repr(PARAMETERS).encode()})

    def pipeline(
        self, _trusted_classes: frozenset[str] = frozenset(), window_step: float | None = None
    ) -> tuple[FrugalDiarization, tuple[Model, Model]]:
        """The pipeline on the CPU, and the two networks in it.

        Args:
            window_step: From one window to the next, as a fraction of a window; None for the default.

        Raises:
            ConfigurationError: A checkpoint asks for more than a network needs, or is damaged; the message names the
                file.
        """
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
