"""Segmentation: who of up to three people speaks when, window by window of ten seconds.

A window starts every second, so that each frame is in ten of them. The order of the speakers differs from
window to window. The first window starts at 0; the last one is padded with silence.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np

from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.arrays import Floats, Mask

WINDOW = 160_000
"""Samples; segmentation-3.0 was trained on ten seconds."""
FRAME_STEP, FRAME_SIZE = 270, 991
"""Samples from one frame to the next, and in a frame: products of the strides and widths of SincNet's layers."""
FRAMES = 589
"""Frames in a window."""
WINDOW_STEP = 59
"""Frames from one window to the next, 0.996 s: a whole number, so that all windows have the same frames. With 2.5 s
the error rate on meetings and calls was a point higher, and the real-time factor 0.02 lower."""
VOICES, CLASSES = 3, 7
"""Voices in a window, and classes of a frame: nobody, one of the voices, or two of them at once, in this order."""

_BATCH = 2  # windows; 1.3 times as fast on one core as single ones; more take 30 MB each and are a tenth faster
_CHOICES = [chosen for number in range(3) for chosen in combinations(range(VOICES), number)]
_POWERSET = np.array([[voice in chosen for voice in range(VOICES)] for chosen in _CHOICES])


def window_count(samples: int) -> int:
    """The number of windows of a recording of `samples` samples; at least one."""
    return 1 + max(0, -(-(samples - WINDOW) // (WINDOW_STEP * FRAME_STEP)))


def local_speakers(pcm: Waveform, scores: Callable[[Floats], Floats]) -> Mask:
    """Who speaks in each window, shape (windows, frames, voices).

    Args:
        pcm: The whole recording.
        scores: The network: from sound, shape (batch, 1, samples), to scores of the seven classes, shape
            (batch, frames, 7).
    """
    windows = window_count(pcm.samples.shape[1])
    speaking = np.empty((windows, FRAMES, VOICES), np.bool_)
    for first in range(0, windows, _BATCH):
        starts = [window * WINDOW_STEP * FRAME_STEP for window in range(first, min(first + _BATCH, windows))]
        sounds = np.stack([pcm.stretch(start, start + WINDOW) for start in starts])
        speaking[first : first + len(starts)] = _POWERSET[scores(sounds[:, None]).argmax(axis=-1)]
    return speaking


def alone(speaking: Mask) -> Mask:
    """Where a voice speaks and no other does, in the same shape."""
    found: Mask = speaking & (speaking.sum(axis=-1, keepdims=True) == 1)
    return found
