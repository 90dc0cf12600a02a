"""Which voices of all windows are the same speaker: agglomerative clustering of embeddings, then the nearest centroid.

The embeddings of voices that speak alone for long enough are clustered by the distance of the centroids, until no
two clusters are near. Clusters that are too small join the nearest large one. Then the voices of a window are assigned
to different speakers, as near by cosine to their centroids as possible. It is the AgglomerativeClustering of
pyannote.audio (H. Bredin, "pyannote.audio 2.1 speaker diarization pipeline: principle, benchmark, and recipe",
Interspeech 2023), with two changes: if too few voices speak alone for long enough, all are clustered; and if there are
fewer large clusters than speakers asked for, smaller clusters count.
"""

from __future__ import annotations

import numpy as np

from sensory_pipeline.core.arrays import Doubles, Floats, Indices, Mask
from sensory_pipeline.engines.diarization.onnx.local_speakers import FRAMES, alone
from sensory_pipeline.engines.diarization.onnx.reconstruction import NOBODY, Names

_THRESHOLD = 0.75
"""Distance of centroids of unit vectors. On labelled meetings, calls and conversations 0.75 and 0.8 are best;
with less, one speaker is split in two; with more, the two speakers of a telephone call are merged."""
_SMALLEST = 4
"""Least vectors of a speaker. On the same recordings fewer gain nothing; with six or more, speakers who say little
are lost."""
_SMALLEST_SHARE = 0.1  # of all vectors, where that is less; pyannote's
_ALONE = 0.2  # of a window; pyannote's
MOST_CLUSTERED = 4000
"""Most vectors, whose distances take 130 MB. An hour has 5,000, but ten windows share each second: 2,000 would do."""


def cluster_speakers(vectors: Floats, speaking: Mask, *, least: int, most: int | None) -> tuple[Names, Floats]:
    """Assign a speaker to each voice.

    Args:
        vectors: Embeddings, shape (windows, voices, dimension); NaN if a voice has none.
        speaking: Shape (windows, frames, voices).
        least: The lowest number of speakers, kept if there are enough voices.
        most: The highest number of speakers; None for no limit.

    Returns:
        The speaker of each voice, and the speakers' centroids, shape (speakers, dimension).
    """
    known: Mask = np.isfinite(vectors.sum(axis=2))
    names = np.full(known.shape, NOBODY)
    sure = known & (alone(speaking).sum(axis=1) >= _ALONE * FRAMES)
    chosen = _drawn(vectors[sure if sure.sum() >= least else known])
    if not len(chosen):
        return names, chosen
    labels = _agglomerated(_unit(chosen), least, min(most or len(chosen), len(chosen)))
    centres = np.stack([chosen[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
    for window, likeness in enumerate(_unit(vectors) @ _unit(centres).T):
        voices = np.flatnonzero(known[window])
        names[window, voices] = _assigned(likeness[voices])
    return names, centres


def _assigned(likeness: Floats) -> Indices:
    """A speaker for each voice of a window, by the highest similarity, shape (voices, speakers).

    Different voices get different speakers, as long as there are enough.
    """
    from scipy.optimize import linear_sum_assignment

    speakers: Indices = likeness.argmax(axis=1)
    voices, different = linear_sum_assignment(likeness, maximize=True)
    speakers[voices] = different
    return speakers


def _drawn(vectors: Floats) -> Floats:
    """At most MOST_CLUSTERED vectors, since memory grows with their square; else a sample, always the same."""
    if len(vectors) <= MOST_CLUSTERED:
        return vectors
    return vectors[np.sort(np.random.default_rng(0).choice(len(vectors), MOST_CLUSTERED, replace=False))]


def _agglomerated(unit: Floats, least: int, most: int) -> Indices:
    """A cluster for each vector, numbered from 0. The vectors have length 1."""
    from scipy.cluster.hierarchy import fcluster, linkage

    size = len(unit)
    if size == 1 or most == 1:
        return np.zeros(size, np.intp)
    tree = linkage(unit, "centroid")  # rows: two clusters, their distance, vectors in both; in the order of merging
    far = tree[:, 2] > _THRESHOLD
    usual = int(far.argmax()) if far.any() else size - 1  # merges until no two are near
    smallest = min(_SMALLEST, max(1, round(_SMALLEST_SHARE * size)))
    wanted = min(max(int(_large(tree, smallest)[usual]), least), most, size)
    while not (exact := np.flatnonzero(_large(tree, smallest) == wanted)).size:
        smallest -= 1  # with single vectors any number of clusters is possible
    merges = exact[abs(exact - usual).argmin()]
    tree[:, 2] = np.arange(1, size)
    labels = fcluster(tree, merges, "distance") - 1
    return _without_small(unit, labels, smallest)


def _large(tree: Doubles, smallest: int) -> Indices:
    """How many clusters have `smallest` vectors or more, after no merge, one merge and so on."""
    size = len(tree) + 1
    large = np.append(np.ones(size), tree[:, 3]) >= smallest
    gone = large[tree[:, :2].astype(int)].sum(axis=1)
    changes: Indices = np.append(large[:size].sum(), large[size:].astype(int) - gone).cumsum()
    return changes


def _without_small(unit: Floats, labels: Indices, smallest: int) -> Indices:
    """Clusters with fewer vectors join the large one with the nearest centroid."""
    large = np.flatnonzero(np.bincount(labels) >= smallest)
    centres = _unit(np.stack([unit[labels == cluster].mean(axis=0) for cluster in large]))
    joined = labels.copy()
    for cluster in set(labels.tolist()) - set(large.tolist()):
        members = labels == cluster
        joined[members] = large[(centres @ unit[members].mean(axis=0)).argmax()]
    return np.searchsorted(large, joined)


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit
