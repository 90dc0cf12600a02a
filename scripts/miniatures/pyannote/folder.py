"""pyannote.audio 4's local folder: config.yaml, and a checkpoint for each network beside it.

A checkpoint contains only tensors, plain values and pyannote's own `Specifications` with its two enumerations, so
`torch.load(weights_only=True)` reads it once these three names are allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import yaml

if TYPE_CHECKING:
    from pyannote.audio import Model

CHUNK_S = 5.0
"""Window of the segmentation network in seconds."""
ClusteringParameters = Mapping[str, float | int | str]


def save_model(model: Model, folder: Path) -> None:
    """Write pytorch_model.bin into the folder, in PyTorch Lightning's format."""
    import lightning
    import pyannote.audio
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    torch.save(
        {
            "state_dict": {name: weights.contiguous() for name, weights in model.state_dict().items()},
            "hyper_parameters": dict(model.hparams),
            "pytorch-lightning_version": lightning.__version__,
            "epoch": 0,
            "global_step": 0,
            "pyannote.audio": {
                "versions": {"pyannote.audio": pyannote.audio.__version__},
                "architecture": {"module": type(model).__module__, "class": type(model).__name__},
                "specifications": model.specifications,
            },
        },
        folder / "pytorch_model.bin",
    )


def save_plda(folder: Path, **arrays: npt.NDArray[np.float64]) -> None:
    """Write the two files of VBx: mean1, mean2 and lda transform; mu, tr and psi score."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "xvec_transform.npz", mean1=arrays["mean1"], mean2=arrays["mean2"], lda=arrays["lda"])
    np.savez(folder / "plda.npz", mu=arrays["mu"], tr=arrays["tr"], psi=arrays["psi"])


def save_config(folder: Path, clustering: str, parameters: ClusteringParameters) -> None:
    """Write config.yaml.

    Args:
        folder: The folder.
        clustering: AgglomerativeClustering or VBxClustering.
        parameters: Its parameters.
    """
    config = {
        "dependencies": {"pyannote.audio": "4.0.0"},
        "pipeline": {
            "name": "pyannote.audio.pipelines.SpeakerDiarization",
            "params": {
                "segmentation": "$model/segmentation",
                "segmentation_batch_size": 8,
                "embedding": "$model/embedding",
                "embedding_batch_size": 8,
                "embedding_exclude_overlap": True,
                "plda": "$model/plda",
                "clustering": clustering,
            },
        },
        "params": {"segmentation": {"min_duration_off": 0.0}, "clustering": dict(parameters)},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
