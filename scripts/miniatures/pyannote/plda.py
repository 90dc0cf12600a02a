"""Probabilistic linear discriminant analysis of embeddings, in the form that VBx needs (arXiv 2012.14952)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

Array = npt.NDArray[np.float64]

DIMENSIONS = 8
"""Kept by the discriminant transform; the largest useful number is that of the speakers minus one."""


def fit(embeddings: Array, speakers: npt.NDArray[np.int64]) -> dict[str, Array]:
    """Fit the transform and the model.

    Returns:
        mean1, lda, mean2 (centre, scale, project, centre, scale), and the model after that: mu, tr, psi.
    """
    mean1 = embeddings.mean(axis=0)
    centred = _scaled(embeddings - mean1)
    _, directions = _joint(centred, speakers)
    lda = directions[:, ::-1][:, :DIMENSIONS]
    mean2 = (centred @ lda).mean(axis=0)
    projected = _scaled(centred @ lda - mean2)
    psi, directions = _joint(projected, speakers)
    return {
        "mean1": mean1,
        "mean2": mean2,
        "lda": lda,
        "mu": projected.mean(axis=0),
        "tr": directions.T,
        "psi": np.maximum(psi, 1e-3),
    }


def _scaled(vectors: Array) -> Array:
    """Scale to the length of a vector with unit variance in every dimension."""
    scaled: Array = np.sqrt(vectors.shape[1]) * vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


def _joint(vectors: Array, speakers: npt.NDArray[np.int64]) -> tuple[Array, Array]:
    """Return directions that whiten the scatter within speakers, and the scatter between speakers along each."""
    size = vectors.shape[1]
    within, between = np.zeros((size, size)), np.zeros((size, size))
    present = np.unique(speakers)
    for speaker in present:
        own = vectors[speakers == speaker]
        spread = own - own.mean(axis=0)
        within += spread.T @ spread
        offset = own.mean(axis=0) - vectors.mean(axis=0)
        between += np.outer(offset, offset)
    within /= len(vectors) - len(present)
    ridge = 1e-3 * np.trace(within) / size * np.eye(size)
    values, directions = eigh(between / len(present), within + ridge)
    return values, directions
