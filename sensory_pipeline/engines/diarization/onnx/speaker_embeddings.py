"""An embedding for each voice of each window, with only one pass of the embedding network over the sound.

The recording is divided into equal blocks of at most ten seconds. The trunk of the network runs over one after the
other. Each window that reaches into a block adds up, for every voice, the features and their squares over the frames
in which that voice speaks. As soon as a window's last block is done, these sums give mean and standard deviation, the
input of CAM++'s statistics pooling. So memory holds the features of one block and the sums of a few windows, however
long the recording is.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

import numpy as np

from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.arrays import Doubles, Floats, Mask
from sensory_pipeline.engines.diarization.onnx.fbank import FRAME, HOP
from sensory_pipeline.engines.diarization.onnx.local_speakers import (
    FRAME_SIZE,
    FRAME_STEP,
    FRAMES,
    VOICES,
    WINDOW,
    WINDOW_STEP,
    alone,
)

_STRETCH = 500
"""Most frames of the trunk in a block: ten seconds, as in the windows that pyannote gives to such a network."""
_STEP = 2 * HOP  # samples from one frame of the trunk to the next
_FEWEST_ALONE = 2  # frames
_LEAST_VARIANCE = 1e-10


class EmbeddingNetwork(Protocol):
    """A network for speaker embeddings, divided at its pooling.

    Attributes:
        dimension: Numbers in an embedding.
    """

    dimension: int

    def features(self, samples: Floats) -> Floats:
        """The trunk: features of shape (channels, frames), a frame every 20 ms.

        Args:
            samples: 16 kHz mono, shape (samples,).
        """
        ...

    def embeddings(self, statistics: Floats) -> Floats:
        """The last layer: embeddings of shape (voices, dimension).

        Args:
            statistics: Means, then standard deviations, shape (voices, 2 * channels).
        """
        ...


def speaker_embeddings(pcm: Waveform, speaking: Mask, network: EmbeddingNetwork) -> Floats:
    """The embeddings, shape (windows, voices, dimension); NaN for a voice that is silent in the window.

    A voice's embedding is made from the frames in which no other speaks, or if they are too few, from all its frames.

    Args:
        pcm: The whole recording.
        speaking: Shape (windows, frames, voices).
        network: Makes the embeddings.
    """
    vectors = np.full((len(speaking), VOICES, network.dimension), np.nan, np.float32)
    sums: dict[int, Doubles] = {}  # by window
    for first, last in _stretches(pcm.samples.shape[1]):
        weights = _weights(speaking, first, last)
        if weights:
            x = network.features(pcm.stretch(first * _STEP, last * _STEP + FRAME - HOP))
            moments = np.vstack([np.ones((1, x.shape[1]), np.float32), x, x * x]).T
            for window, voices in weights.items():
                sums[window] = sums.get(window, 0) + (voices @ moments).astype(np.float64)
        finished = [window for window in sums if window * WINDOW_STEP * FRAME_STEP + WINDOW <= last * _STEP]
        for window in finished:
            _embed(sums.pop(window), network, vectors[window])
    for window, rest in sums.items():
        _embed(rest, network, vectors[window])
    return vectors


def _stretches(samples: int) -> list[tuple[int, int]]:
    """First and last frame of the trunk for each block."""
    frames = max(1, (samples - (FRAME - HOP)) // _STEP)
    borders = np.linspace(0, frames, 1 - -frames // _STRETCH).round().astype(int)
    return list(pairwise(borders.tolist()))


def _weights(speaking: Mask, first: int, last: int) -> dict[int, Floats]:
    """For each window with speech in these frames of the trunk: the frames that count, shape (voices, frames)."""
    step = WINDOW_STEP * FRAME_STEP
    earliest = max(0, (first * _STEP - WINDOW) // step)
    latest = min(len(speaking), last * _STEP // step + 1)
    centres = np.arange(first, last) * _STEP + FRAME // 2
    nearest = np.rint((centres - FRAME_SIZE // 2) / FRAME_STEP).astype(int)
    found = {}
    for window in range(earliest, latest):
        frames = nearest - window * WINDOW_STEP
        inside = (frames >= 0) & (frames < FRAMES)
        weights = np.zeros((VOICES, last - first), np.float32)
        weights[:, inside] = _telling(speaking[window])[frames[inside]].T
        if weights.any():
            found[window] = weights
    return found


def _telling(speaking: Mask) -> Mask:
    """The frames of one window that count for each voice; `speaking` and the result have shape (frames, voices)."""
    single = alone(speaking)
    return np.where(single.sum(axis=0) > _FEWEST_ALONE, single, speaking)


def _embed(sums: Doubles, network: EmbeddingNetwork, vectors: Floats) -> None:
    """Set the embeddings of voices that have frames. `sums` are, for each voice, of frames, features and squares."""
    heard = sums[:, 0] > 0
    number, (mean, square) = sums[heard, :1], np.split(sums[heard, 1:] / sums[heard, :1], 2, axis=1)
    variance = (square - mean**2) * number / np.maximum(number - 1, 1)
    statistics = np.hstack([mean, np.sqrt(np.maximum(variance, _LEAST_VARIANCE))])
    vectors[heard] = network.embeddings(statistics.astype(np.float32))
