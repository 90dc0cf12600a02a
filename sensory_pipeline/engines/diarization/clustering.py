"""Which stretches of speech come from the same voice: agglomeration by likelihood ratio.

A stretch is modelled by one Gaussian over its cepstra. The generalised likelihood ratio (GLR) of
two stretches says how much better two Gaussians describe them than one (Chen and Gopalakrishnan,
1998, who call a GLR beyond a penalty the BIC). For one voice the GLR stays near a constant however
long the stretches are; for two it grows with their length. The constant depends on recording and
noise, so it is read off the recording itself: the two halves of a stretch are one voice. What
exceeds it, for each frame, is the distance; it is averaged over all pairs of two clusters (average
linkage), as pooling lets distances grow with the number of stretches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.intp]
Frames = npt.NDArray[np.float32]

_MARGIN = 1.2  # other sentences differ more than the halves of one
_NEAR = 0.0045  # distance up to which stretches are put together
_SAME_VOICE = 0.0085  # distance up to which clusters are one voice
_NULL = 260.0  # GLR of halves in clean speech with 12 cepstra, and how many halves it counts for
_NULL_WEIGHT = 4
_HALVED = 80  # frames of a stretch whose halves can be compared
_RIDGE = 0.01  # added to variances
_PART = 1000  # stretches compared with each other


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Statistics:
    """Sufficient statistics of stretches: counts (n,), sums (n, d), products (n, d, d)."""

    counts: npt.NDArray[np.float64]
    sums: npt.NDArray[np.float64]
    products: npt.NDArray[np.float64]

    @classmethod
    def of(cls, stretches: Sequence[Frames]) -> Statistics:
        frames = [stretch.astype(np.float64) for stretch in stretches]
        return cls(
            counts=np.array([len(f) for f in frames], np.float64),
            sums=np.stack([f.sum(axis=0) for f in frames]),
            products=np.stack([f.T @ f for f in frames]),
        )

    def __getitem__(self, index: slice) -> Statistics:
        return Statistics(counts=self.counts[index], sums=self.sums[index], products=self.products[index])

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics(
            counts=self.counts + other.counts,
            sums=self.sums + other.sums,
            products=self.products + other.products,
        )

    def log_likelihood(self) -> npt.NDArray[np.float64]:
        """Of each stretch's frames under its own Gaussian, up to a term that cancels in a GLR."""
        means = self.sums / self.counts[:, None]
        covariances = self.products / self.counts[:, None, None] - means[:, :, None] * means[:, None, :]
        covariances += _RIDGE * np.eye(means.shape[1])
        likelihood: npt.NDArray[np.float64] = -0.5 * self.counts * np.linalg.slogdet(covariances)[1]
        return likelihood


def cluster(stretches: Sequence[Frames], null: float, *, least: int) -> Labels:
    """A first grouping, with rather too many clusters: a number, 0 and up, for each stretch.

    stretches: cepstra, shape (frames, d), each of one voice; at least one. null: see `null_ratio`.
    least: number of clusters to keep, as far as there are stretches. A recording of several hours
    is done in parts, each with clusters of its own.
    """
    statistics = Statistics.of(stretches)
    parts: list[Labels] = []
    clusters = 0
    for start in range(0, len(stretches), _PART):
        found = _agglomerate(statistics[start : start + _PART], null, limit=_NEAR, least=least, most=None)
        parts.append(clusters + found)
        clusters += int(found.max()) + 1
    return np.concatenate(parts)


def merge(clusters: Sequence[Frames], null: float, *, least: int, most: int | None) -> Labels:
    """Which clusters are one voice: a number, 0 and up, for each. least, most: bounds on the voices."""
    return _agglomerate(Statistics.of(clusters), null, limit=_SAME_VOICE, least=least, most=most)


def null_ratio(stretches: Sequence[Frames]) -> float:
    """The GLR of two stretches of one voice, to be expected in this recording."""
    pairs = [(s[: len(s) // 2], s[len(s) // 2 :]) for s in stretches if len(s) >= _HALVED]
    if not pairs:
        return _NULL
    first, second = (Statistics.of(half) for half in zip(*pairs, strict=True))
    ratios = first.log_likelihood() + second.log_likelihood() - (first + second).log_likelihood()
    weight = len(pairs)
    return (float(np.median(ratios)) * weight + _NULL * _NULL_WEIGHT) / (weight + _NULL_WEIGHT)


def _agglomerate(statistics: Statistics, null: float, *, limit: float, least: int, most: int | None) -> Labels:
    """Average linkage of the excess of GLR over the null, each pair weighted by its amount of speech."""
    size = len(statistics.counts)
    alone = statistics.log_likelihood()
    excess, weight = np.zeros((size, size)), np.ones((size, size))
    for i in range(1, size):
        both = (statistics[i : i + 1] + statistics[:i]).log_likelihood()
        excess[i, :i] = excess[:i, i] = (alone[i] + alone[:i] - both) / null - _MARGIN
        counts = statistics.counts[i], statistics.counts[:i]
        weight[i, :i] = weight[:i, i] = counts[0] * counts[1] / (counts[0] + counts[1])
    distance = excess / weight
    np.fill_diagonal(distance, np.inf)
    labels = np.arange(size)
    for clusters in range(size, max(least, 1), -1):
        kept, gone = sorted(divmod(int(distance.argmin()), size))
        if distance[kept, gone] > limit and (most is None or clusters <= most):
            break
        for sums in (excess, weight):
            sums[kept] += sums[gone]
            sums[:, kept] = sums[kept]
        alive = np.isfinite(distance[kept])
        distance[kept, alive] = distance[alive, kept] = excess[kept, alive] / weight[kept, alive]
        distance[gone] = distance[:, gone] = np.inf
        labels[labels == gone] = kept
    return np.unique(labels, return_inverse=True)[1]
