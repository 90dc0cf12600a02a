"""pyannote's pipeline, with no work done twice and with memory that does not grow with the recording's windows.

What it finds is what SpeakerDiarization finds, number by number:

- Only the pooling at the end of the embedding network knows whose voice is wanted. What comes before it,
  nearly all of the work, runs once a window for all voices in it, and not at all where nobody speaks.
- Windows of several recordings go through the networks together, so that short ones fill batches too.
- The sound stays as it came, and becomes float a batch at a time.
- Who speaks in a frame is summed up window by window; pyannote holds every window for every speaker.

In two cases they differ. Where there is more to cluster than `MOST_CLUSTERED`, whose square pyannote's memory grows
with, as many are drawn at random; they decide who the speakers are, and each voice is then given to one of them as
ever. And where no voice is alone for a fifth of any window, all voices decide; pyannote takes them for one speaker.

Imported only where a model is loaded, since it needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch  # noqa: TID253  as all of this module
from pyannote.audio.core.plda import PLDA  # noqa: TID253
from pyannote.audio.pipelines import SpeakerDiarization  # noqa: TID253
from pyannote.audio.pipelines.clustering import AgglomerativeClustering, BaseClustering, VBxClustering  # noqa: TID253
from pyannote.audio.utils.reproducibility import fix_reproducibility  # noqa: TID253
from pyannote.audio.utils.signal import binarize  # noqa: TID253
from pyannote.core import SlidingWindow, SlidingWindowFeature  # noqa: TID253
from torch import Tensor  # noqa: TID253
from torch.nn import functional as F  # noqa: N812, TID253  as everywhere

from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.core.arrays import Array, Floats
from sensory_pipeline.core.errors import EngineError
from sensory_pipeline.engines.diarization.pyannote.window_batches import Window, WindowBatches

File = dict[str, Any]
"""A recording as pyannote takes it: `{"waveform": int16 of shape (channels, frames), "sample_rate": 16000}`."""

BATCH_ON_CPU = 2
"""Windows in a batch of embeddings. On a CPU more are slower (32 by 1.8 times): the ResNet's layers fall
out of the caches. One by one is as fast, but is computed otherwise, and differs in the seventh digit."""
MOST_CLUSTERED = 10_800
"""Embeddings that are clustered: all there can be in an hour with the published window and step.
They take 1 GB; those of four hours would take up to 15."""


class FrugalDiarization(SpeakerDiarization):
    """SpeakerDiarization for Files that went through the networks: see `run_networks`."""

    def __init__(self, *, plda: PLDA | None = None, **options: Any) -> None:
        super().__init__(plda=plda or PLDA.__new__(PLDA), **options)  # it asks for one whatever the clustering
        metric = self._embedding.metric
        if plda and self.klustering == "VBxClustering":
            self.clustering = DrawnVBx(plda, metric=metric)
        else:
            self.clustering = DrawnAgglomerative(metric=metric)
        self._length, self._step = (
            round(seconds * SAMPLE_RATE) for seconds in (self._segmentation.duration, self._segmentation.step)
        )
        self._segmented = WindowBatches(self.segmentation_batch_size)
        self._embedded = WindowBatches(BATCH_ON_CPU)

    def to(self, device: torch.device) -> FrugalDiarization:
        """On the device, with batches that suit it."""
        super().to(device)
        self._segmented = WindowBatches(self.segmentation_batch_size)
        self._embedded = WindowBatches(BATCH_ON_CPU if device.type == "cpu" else self.embedding_batch_size)
        return self

    def windows(self, frames: int) -> int:
        """How many there are in a recording of so many frames."""
        return 1 + max(0, math.ceil((frames - self._length) / self._step))

    def run_networks(self, files: Sequence[File]) -> dict[int, EngineError]:
        """Adds `segmentations` and `embeddings` to each file; returns why not, by number, for those that fail.

        What a window shares its batch with, and how large that is, moves its embeddings in the seventh digit at most.
        """
        fix_reproducibility(self._embedding.device)  # as pyannote does before it runs a network
        faults: dict[int, EngineError] = {}
        self.segment(files, faults)
        self.embed(files, faults)
        return faults

    def segment(self, files: Sequence[File], faults: dict[int, EngineError]) -> None:
        """Who of up to three speaks in each frame of each window: `segmentations`, (windows, frames, speakers)."""
        inference = self._segmentation
        windows = [self.windows(file["waveform"].shape[1]) for file in files]
        scores: dict[Window, Floats] = {}

        def compute(batch: list[Window]) -> None:
            firsts = [index * self._step for _, index in batch]
            sounds = [
                _sound(files[n], first, first + self._length) for (n, _), first in zip(batch, firsts, strict=True)
            ]
            scores.update(zip(batch, inference.infer(torch.stack(sounds)), strict=True))

        self._segmented.run((Window(n, i) for n, count in enumerate(windows) for i in range(count)), compute, faults)
        span = SlidingWindow(start=0.0, duration=inference.duration, step=inference.step)
        for n, count in enumerate(windows):
            if n not in faults:
                found = np.stack([scores.pop(Window(n, i)) for i in range(count)])
                files[n]["segmentations"] = SlidingWindowFeature(found, span)

    def embed(self, files: Sequence[File], faults: dict[int, EngineError]) -> None:
        """The voice of each speaker of each segmented window: `embeddings`, (windows, speakers, dimension)."""
        active = {n: self._active(file["segmentations"]) for n, file in enumerate(files) if n not in faults}
        for n, spoken in active.items():
            # of those who never speak in a window nobody asks, but a zero or NaN would be felt
            shape = (spoken.shape[0], spoken.shape[2], self._embedding.dimension)
            files[n]["embeddings"] = np.ones(shape, np.float32)

        def compute(batch: list[Window]) -> None:
            spans = [files[n]["segmentations"].sliding_window[i] for n, i in batch]
            ends = [(round(span.start * SAMPLE_RATE), round(span.end * SAMPLE_RATE)) for span in spans]
            sounds = [_sound(files[n], first, last) for (n, _), (first, last) in zip(batch, ends, strict=True)]
            masks = self._masks(np.stack([active[n][i] for n, i in batch]))
            weights = torch.from_numpy(np.ascontiguousarray(masks.transpose(0, 2, 1), np.float32))
            for (n, i), voices in zip(batch, self._embedding(torch.stack(sounds), masks=weights), strict=True):
                files[n]["embeddings"][i] = voices

        spoken_in = (Window(n, int(i)) for n, spoken in active.items() for i in np.flatnonzero(spoken.any(axis=(1, 2))))
        self._embedded.run(spoken_in, compute, faults)

    def _active(self, segmentations: SlidingWindowFeature) -> Array:
        """Who is taken to speak, 0 or 1, as pyannote's `apply` has it."""
        specifications: Any = self._segmentation.model.specifications
        if not specifications.powerset:
            segmentations = binarize(segmentations, onset=self.segmentation.threshold, initial_state=False)
        active: Array = segmentations.data
        return active

    def _masks(self, active: Array) -> Array:
        """By which frames a speaker is told, shape (windows, frames, speakers) as `active`.

        Where overlap is excluded, those where each speaks alone; if they are too few, all where they speak.
        """
        if not self.embedding_exclude_overlap:
            return active
        seconds = self._embedding.min_num_samples / SAMPLE_RATE
        shortest = math.ceil(active.shape[1] * seconds / self._segmentation.duration)
        alone = active * (active.sum(axis=2, keepdims=True) < 2)
        return np.where(alone.sum(axis=1, keepdims=True) > shortest, alone, active)

    def get_segmentations(self, file: File, hook: Any = None) -> SlidingWindowFeature:
        """As `run_networks` found them."""
        return file["segmentations"]

    def get_embeddings(
        self, file: File, binary_segmentations: SlidingWindowFeature, exclude_overlap: bool = False, hook: Any = None
    ) -> Floats:
        """As `run_networks` found them."""
        embeddings: Floats = file["embeddings"]
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
        """Of those fit to be clustered, or of all where none is, at most `MOST_CLUSTERED`: they, their windows and
        their speakers."""
        found = super().filter_embeddings(embeddings, segmentations, min_active_ratio)
        if not len(found[0]):
            spoken = segmentations.data.any(axis=1) & np.isfinite(embeddings).all(axis=2)
            found = (embeddings[spoken], *np.nonzero(spoken))
        number = len(found[0])
        if number <= MOST_CLUSTERED:
            return found
        # not every n-th, which might be always the same voice of its window
        drawn = np.sort(np.random.default_rng(0).choice(number, MOST_CLUSTERED, replace=False))
        return tuple(values[drawn] for values in found)


class DrawnVBx(_Drawn, VBxClustering): ...


class DrawnAgglomerative(_Drawn, AgglomerativeClustering): ...


def _sound(file: File, first: int, last: int) -> Tensor:
    """float32, shape (1, last - first), filled up with silence after the end."""
    sound = torch.from_numpy(Waveform(samples=file["waveform"][:, first:last].numpy()).mono())[None]
    return F.pad(sound, (0, last - first - sound.shape[1]))
