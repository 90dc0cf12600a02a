"""The output of Whisper's encoder for clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from functools import cached_property
from math import ceil
from threading import Lock
from typing import TYPE_CHECKING, Union

import numpy as np
import numpy.typing as npt

from sensory_pipeline.core.arrays import Floats
from sensory_pipeline.engines.stt.worker_shares import shares, side_by_side

if TYPE_CHECKING:
    from ctranslate2 import StorageView
    from faster_whisper import WhisperModel

Features = Floats
"""Log-mel features, shape (mels, frames), a frame every 10 ms."""
Prepared = Union[Features, "StorageView"]
"""A clip on its way into a batch: on a GPU the encoder's input, on a CPU its output. A CPU's caches are too small for
a batch, and the encoder takes a fifth less time for single clips."""


_WHOLE = 3000  # frames of Whisper's window
_STEP = 500
_SILENCE = 2.0  # below the loudest, in Whisper's unit of 40 dB


def on_a_cpu(model: WhisperModel) -> bool:
    """Whether the model is on a CPU, where each of its workers is a thread."""
    return bool(model.model.device == "cpu")


def padded(heard: Features, padding_s: float | None, *, whole: bool) -> Features:
    """A clip in its window: a whole window of 30 s, or one with at least `padding_s` of silence after the clip.

    The encoder takes two thirds of the time, for silence as much as for speech. Without any silence, Whisper writes
    nonsense; with 10 s of it, Whisper writes what it writes for a whole window (bench/README.md, "Windows"). Lengths
    are multiples of 5 s, so that many clips have the same and can be decoded together.

    The silence is what Whisper was trained with: 80 dB below the loudest value, as samples of 0 give. faster-whisper
    pads features with zeros instead, which stand for a certain level. Without a `padding_s` this does the same, for the
    same results.

    >>> [padded(np.zeros((80, frames), np.float32), 10, whole=False).shape[1] for frames in (90, 500, 501, 2050)]
    [1500, 1500, 2000, 3000]

    Args:
        heard: The features of the clip.
        padding_s: Seconds of silence; None for faster-whisper's padding of a whole window.
        whole: Whether to pad to a whole window.
    """
    frames = heard.shape[1]
    length = _WHOLE if whole or padding_s is None else min(_WHOLE, ceil((frames + padding_s * 100) / _STEP) * _STEP)
    silence = 0 if padding_s is None else heard.max(initial=0) - _SILENCE
    window = np.full((heard.shape[0], length), silence, heard.dtype)
    window[:, :frames] = heard[:, :length]
    return window


class EncoderOutput:
    """The encoder's output for a batch: on a GPU an array for each worker's share of it, on a CPU clip by clip."""

    def __init__(self, model: WhisperModel, clips: Sequence[Prepared], workers: Executor) -> None:
        self._clips = [np.array(clip, ndmin=3) for clip in clips] if on_a_cpu(model) else []
        self._shares: dict[tuple[int, ...], StorageView] = {}
        if not self._clips:
            indices = shares(range(len(clips)), model.model.num_workers)
            encoded = side_by_side(
                workers, lambda share: model.encode(np.stack([clips[index] for index in share])), indices
            )
            self._shares = dict(zip(map(tuple, indices), encoded, strict=True))
        self._copying = Lock()

    def length(self, index: int) -> int:
        """Length of a clip's window; only windows of one length are decoded together."""
        return int(self._clips[index].shape[1]) if self._clips else 0

    def alike(self, indices: Iterable[int]) -> list[list[int]]:
        """The clips grouped by the lengths of their windows."""
        found: dict[int, list[int]] = {}
        for index in indices:
            found.setdefault(self.length(index), []).append(index)
        return list(found.values())

    def rows(self, indices: Sequence[int]) -> StorageView:
        """Some of the clips. CTranslate2 cannot slice, so what is not a share is copied through the host's memory."""
        import ctranslate2

        if (share := self._shares.get(tuple(indices))) is not None:
            return share
        with self._copying:  # once, for all workers
            clips = self._clips or self._here
        return ctranslate2.StorageView.from_array(np.concatenate([clips[index] for index in indices]))

    @cached_property
    def _here(self) -> list[npt.NDArray[np.floating]]:
        import ctranslate2

        on_host = (np.array(share.to_device(ctranslate2.Device.cpu)) for share in self._shares.values())
        return [clip for share in on_host for clip in share[:, np.newaxis]]
