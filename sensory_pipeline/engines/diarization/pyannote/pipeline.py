"""pyannote's pipeline without repeated work, and with memory that does not grow with the number of windows.

Its results are those of SpeakerDiarization, number by number. The differences are:

- Only the pooling at the end of the embedding network depends on the speaker. All before it,
  almost all of the work, runs once per window for all speakers in it, and not at all where nobody speaks.
- Windows of several recordings go through the networks together, so that short recordings fill batches too.
- The samples stay int16, and become float one batch at a time.
- Who speaks in a frame is summed up window by window; pyannote keeps every window for every speaker.

Results differ in two cases. If there are more than `MOST_CLUSTERED` embeddings, a random sample of them is clustered,
since pyannote's memory grows with the square of their number; then each is assigned to a speaker as usual. If no
speaker is alone for a fifth of any window, all embeddings are clustered; pyannote takes them for one speaker.

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
"""Windows in a batch of embeddings. On a CPU more are slower (32 take 1.8 times as long): the ResNet's layers do not
fit into the caches. Single windows are as fast, but their results differ in the seventh digit."""
MOST_CLUSTERED = 10_800
"""Most embeddings that are clustered: as many as an hour can have with the published window and step.
They take 1 GB; those of four hours would take up to 15."""


class FrugalDiarization(SpeakerDiarization):
    """SpeakerDiarization for Files that went through the networks; see `run_networks`."""

    def __init__(self, *, plda: PLDA | None = None, **options: Any) -> None:
        super().__init__(plda=plda or PLDA.__new__(PLDA), **options)  # it needs one with any clustering
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
        """Move the pipeline to the device, and choose batch sizes that suit it."""
        super().to(device)
        self._segmented = WindowBatches(self.segmentation_batch_size)
        self._embedded = WindowBatches(BATCH_ON_CPU if device.type == "cpu" else self.embedding_batch_size)
        return self

    def windows(self, frames: int) -> int:
        """The number of windows in a recording of `frames` samples."""
        return 1 + max(0, math.ceil((frames - self._length) / self._step))

    def run_networks(self, files: Sequence[File]) -> dict[int, EngineError]:
        """Add `segmentations` and `embeddings` to each file.

        The other windows in its batch, and the batch's size, change the embeddings of a window in the seventh digit at
        most.

        Returns:
            The error of each file that fails, by its number.
        """
        fix_reproducibility(self._embedding.device)  # as pyannote does before it runs a network
        faults: dict[int, EngineError] = {}
        self.segment(files, faults)
        self.embed(files, faults)
        return faults

    def segment(self, files: Sequence[File], faults: dict[int, EngineError]) -> None:
        """Add `segmentations`: who of up to three speaks in each window, shape (windows, frames, speakers)."""
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
        """Add `embeddings`: of each speaker of each segmented window, shape (windows, speakers, dimension)."""
        active = {n: self._active(file["segmentations"]) for n, file in enumerate(files) if n not in faults}
        for n, spoken in active.items():
            # those of speakers who are silent in a window are not used, but zeros or NaN would have an effect
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
        """Which speakers are active, 0 or 1, as in pyannote's `apply`."""
        specifications: Any = self._segmentation.model.specifications
        if not specifications.powerset:
            segmentations = binarize(segmentations, onset=self.segmentation.threshold, initial_state=False)
        active: Array = segmentations.data
        return active

    def _masks(self, active: Array) -> Array:
        """The frames that count for each speaker, shape (windows, frames, speakers), as `active`.

        If overlap is excluded, these are the frames in which a speaker is alone; if they are too few, all of its
        frames.
        """
        if not self.embedding_exclude_overlap:
            return active
        seconds = self._embedding.min_num_samples / SAMPLE_RATE
        shortest = math.ceil(active.shape[1] * seconds / self._segmentation.duration)
        alone = active * (active.sum(axis=2, keepdims=True) < 2)
        return np.where(alone.sum(axis=1, keepdims=True) > shortest, alone, active)

    def get_segmentations(self, file: File, hook: Any = None) -> SlidingWindowFeature:
        """The result of `run_networks`."""
        return file["segmentations"]

    def get_embeddings(
        self, file: File, binary_segmentations: SlidingWindowFeature, exclude_overlap: bool = False, hook: Any = None
    ) -> Floats:
        """The result of `run_networks`."""
        embeddings: Floats = file["embeddings"]
        return embeddings

    def reconstruct(
        self, segmentations: SlidingWindowFeature, hard_clusters: npt.NDArray[np.int8], count: SlidingWindowFeature
    ) -> SlidingWindowFeature:
        """Who speaks in each frame of the recording, shape (frames, clusters)."""
        windows, frames, _ = segmentations.data.shape
        span, frame = segmentations.sliding_window, count.sliding_window
        starts = [frame.closest_frame(span[index].start + 0.5 * frame.duration) for index in range(windows)]
        # as one window over the whole recording, which pyannote then sums up like many
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
        """At most `MOST_CLUSTERED` embeddings, with their windows and speakers.

        They are drawn from those fit to be clustered, or from all if none is.
        """
        found = super().filter_embeddings(embeddings, segmentations, min_active_ratio)
        if not len(found[0]):
            spoken = segmentations.data.any(axis=1) & np.isfinite(embeddings).all(axis=2)
            found = (embeddings[spoken], *np.nonzero(spoken))
        number = len(found[0])
        if number <= MOST_CLUSTERED:
            return found
        # not every n-th, which might always be the same speaker of its window
        drawn = np.sort(np.random.default_rng(0).choice(number, MOST_CLUSTERED, replace=False))
        return tuple(values[drawn] for values in found)


class DrawnVBx(_Drawn, VBxClustering):
    """VBxClustering of at most `MOST_CLUSTERED` embeddings."""


class DrawnAgglomerative(_Drawn, AgglomerativeClustering):
    """AgglomerativeClustering of at most `MOST_CLUSTERED` embeddings."""


def _sound(file: File, first: int, last: int) -> Tensor:
    """float32, shape (1, last - first), padded with silence after the end."""
    sound = torch.from_numpy(Waveform(samples=file["waveform"][:, first:last].numpy()).mono())[None]
    return F.pad(sound, (0, last - first - sound.shape[1]))
