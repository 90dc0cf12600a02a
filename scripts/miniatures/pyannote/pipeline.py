"""Makes the miniature pipeline folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch  # noqa: TID253 - training code

from scripts.miniatures.pyannote import plda
from scripts.miniatures.pyannote.folder import ClusteringParameters, save_config, save_model, save_plda
from scripts.miniatures.pyannote.mixtures import Speakers, record_speakers
from scripts.miniatures.pyannote.training import excerpts, train_embedding, train_segmentation
from scripts.miniatures.speech import Espeak
from scripts.miniatures.voices import CAST
from sensory_pipeline_tests.miniature_pyannote import TinyXVector

UTTERANCES = 120
"""Of each voice."""
CLUSTERING: ClusteringParameters = {"method": "centroid", "min_cluster_size": 4, "threshold": 0.8}


def train(seed: int, folder: Path) -> None:
    """Train segmentation, embedding and PLDA, and write them with config.yaml.

    All of it knows only the voices of CAST: a model this small cannot learn more in minutes than to distinguish a few
    voices in any manner of speaking.
    """
    torch.set_num_threads(1)
    speakers = record_speakers(Espeak(), CAST, UTTERANCES, np.random.default_rng([seed, 10]))
    torch.manual_seed(seed)
    save_model(train_segmentation(speakers, np.random.default_rng([seed, 4])), folder / "segmentation")
    torch.manual_seed(seed)
    embedding = train_embedding(speakers, np.random.default_rng([seed, 3]))
    save_model(embedding, folder / "embedding")
    save_plda(folder / "plda", **_plda(embedding, speakers, np.random.default_rng([seed, 5])))
    save_config(folder, "AgglomerativeClustering", CLUSTERING)


def _plda(embedding: TinyXVector, speakers: Speakers, rng: np.random.Generator) -> dict[str, plda.Array]:
    vectors, voices = [], []
    with torch.inference_mode():
        for _ in range(25):
            batch = excerpts(speakers, 64, rng)
            vectors.append(embedding(batch.waveforms, batch.weights).double().numpy())
            voices.append(batch.voices.numpy())
    return plda.fit(np.concatenate(vectors), np.concatenate(voices))
