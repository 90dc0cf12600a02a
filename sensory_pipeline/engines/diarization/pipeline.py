"""pyannote's pipeline, with no work done twice and with memory that does not grow with the recording's windows.

What it finds is what SpeakerDiarization finds, number by number:

- Only the pooling at the end of the embedding network knows whose voice is wanted. What comes before it,
  nearly all of the work, runs once a window for all voices in it, and not at all where nobody speaks.
- The sound stays as it came, and becomes float a stretch at a time.
- Who speaks in a frame is summed up window by window; pyannote holds every window for every speaker.

Only where there is more to cluster than `MOST_CLUSTERED` the two differ: pyannote's memory grows with the
square of it, and here as many are drawn at random, which decide upon the speakers; each voice is then
given to one of them as ever.

Imported only where a model is loaded, since it needs torch.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch  # noqa: TID253  as all of this module
from pyannote.audio.pipelines import SpeakerDiarization  # noqa: TID253
from pyannote.audio.pipelines.clustering import AgglomerativeClustering, BaseClustering, VBxClustering  # noqa: TID253
from pyannote.core import SlidingWindow, SlidingWindowFeature  # noqa: TID253
from torch import Tensor  # noqa: TID253
from torch.nn import functional as F  # noqa: N812, TID253  as everywhere

from sensory_pipeline.audio.pcm import SAMPLE_RATE, Pcm

Floats = npt.NDArray[np.float32]

WINDOWS_AT_ONCE = 64
"""Windows whose sound is float at the same time; a multiple of the batch, so that the batches stay pyannote's."""
BATCH_ON_CPU = 2
"""Windows in a batch of embeddings. On a CPU more are slower (32 by 1.8 times): the ResNet's layers fall
out of the caches. One by one is as fast, but is computed otherwise, and differs in the seventh digit."""
MOST_CLUSTERED = 10_800
"""Embeddings that are clustered: all there can be in an hour with the published window and step.
They take 1 GB; those of four hours would take up to 15."""


class FrugalDiarization(SpeakerDiarization):
    """SpeakerDiarization for `{"waveform": int16 of shape (channels, frames), "sample_rate": 16000}`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        metric, plda = self._embedding.metric, self._plda
        if self.klustering == "VBxClustering" and plda:
            self.clustering = DrawnVBx(plda, metric=metric)
        else:
            self.clustering = DrawnAgglomerative(metric=metric)

    def get_segmentations(self, file: Any, hook: Any = None) -> SlidingWindowFeature:
        """Who of up to three speaks in each frame of each window, shape (windows, frames, speakers)."""
        inference = self._segmentation
        window, step = round(inference.duration * SAMPLE_RATE), round(inference.step * SAMPLE_RATE)
        frames = file["waveform"].shape[1]
        windows = 1 + max(0, math.ceil((frames - window) / step))
        found: list[Any] = []
        for first in range(0, windows, WINDOWS_AT_ONCE):
            last = first + WINDOWS_AT_ONCE
            end = frames if last >= windows else (last - 1) * step + window
            found.append(inference.slide(_sound(file, first * step, end), SAMPLE_RATE, hook=None))
        return SlidingWindowFeature(np.concatenate([some.data for some in found]), found[0].sliding_window)

    def get_embeddings(
        self, file: Any, binary_segmentations: SlidingWindowFeature, exclude_overlap: bool = False, hook: Any = None
    ) -> Floats:
        """The voice of each speaker of each window, shape (windows, speakers, dimension)."""
        active, span = binary_segmentations.data, binary_segmentations.sliding_window
        windows, frames, speakers = active.shape
        shortest = -1
        if exclude_overlap:
            shortest = math.ceil(frames * self._embedding.min_num_samples / (span.duration * SAMPLE_RATE))
        # of those who never speak in a window nobody asks, but a zero or NaN would be felt
        embeddings = np.ones((windows, speakers, self._embedding.dimension), np.float32)
        spoken = np.flatnonzero(active.any(axis=(1, 2)))
        size = BATCH_ON_CPU if self._embedding.device.type == "cpu" else self.embedding_batch_size
        for first in range(0, len(spoken), size):
            batch = spoken[first : first + size]
            sounds = torch.stack([_window(file, span, index) for index in batch])
            masks = _masks(active[batch], shortest) if exclude_overlap else active[batch]
            weights = torch.from_numpy(np.ascontiguousarray(masks.transpose(0, 2, 1), np.float32))
            embeddings[batch] = self._embedding(sounds, masks=weights)
        return embeddings

    def reconstruct(
        self, segmentations: SlidingWindowFeature, hard_clusters: npt.NDArray[np.int8], count: SlidingWindowFeature
    ) -> SlidingWindowFeature:
        """Who speaks in each frame of the recording, shape (frames, clusters)."""
        windows, frames, _ = segmentations.data.shape
        span, frame = segmentations.sliding_window, count.sliding_window
        starts = [frame.closest_frame(span[index].start + 0.5 * frame.duration) for index in range(windows)]
        # as one window over all, which pyannote then sums up as it does many
        whole = SlidingWindow(start=0.0, duration=span.duration + (windows - 1) * span.step, step=span.step)
        length = frame.closest_frame(whole.duration + 0.5 * frame.duration) + 1
        votes = np.zeros((1, length, hard_clusters.max() + 1), np.float32)
        for start, clusters, scores in zip(starts, hard_clusters, segmentations.data, strict=True):
            for cluster in set(clusters.tolist()) - {_NOBODY}:
                votes[0, start : start + frames, cluster] += scores[:, clusters == cluster].max(axis=1)
        return self.to_diarization(SlidingWindowFeature(votes, whole), count)


_NOBODY = -2  # the cluster of those who do not speak


class _Drawn(BaseClustering):
    def filter_embeddings(self, embeddings: Floats, segmentations: Any = None, min_active_ratio: float = 0.2) -> Any:
        """Of those fit to be clustered, at most `MOST_CLUSTERED`: they, their windows and their speakers."""
        found = super().filter_embeddings(embeddings, segmentations, min_active_ratio)
        number = len(found[0])
        if number <= MOST_CLUSTERED:
            return found
        # not every n-th, which might be always the same voice of its window
        drawn = np.sort(np.random.default_rng(0).choice(number, MOST_CLUSTERED, replace=False))
        return tuple(values[drawn] for values in found)


class DrawnVBx(_Drawn, VBxClustering): ...


class DrawnAgglomerative(_Drawn, AgglomerativeClustering): ...


def _sound(file: Any, first: int, last: int) -> Tensor:
    """float32, shape (1, last - first)."""
    return torch.from_numpy(Pcm(samples=file["waveform"][:, first:last].numpy()).mono())[None]


def _window(file: Any, span: SlidingWindow, index: int) -> Tensor:
    """The sound of a window, filled up with silence after the end."""
    window = span[index]
    first, last = round(window.start * SAMPLE_RATE), round(window.end * SAMPLE_RATE)
    sound = _sound(file, first, last)
    return F.pad(sound, (0, last - first - sound.shape[1]))


def _masks(active: npt.NDArray[Any], shortest: int) -> npt.NDArray[Any]:
    """Where each speaks alone, or where that is at most so many frames, where they speak at all."""
    alone = active * (active.sum(axis=2, keepdims=True) < 2)
    return np.where(alone.sum(axis=1, keepdims=True) > shortest, alone, active)
