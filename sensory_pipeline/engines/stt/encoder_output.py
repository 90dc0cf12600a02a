"""What Whisper's encoder makes of clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING, Union

import numpy as np
import numpy.typing as npt

from sensory_pipeline.core.arrays import Floats

if TYPE_CHECKING:
    from ctranslate2 import StorageView
    from faster_whisper import WhisperModel

Features = Floats
"""Log-mel, shape (mels, frames), a frame every 10 ms."""
Prepared = Union[Features, "StorageView"]
"""A clip on its way into a batch: on a GPU the window that goes into the encoder, on a processor what came out of it,
since its caches do not fit a batch: alone each takes a fifth less time."""


_WHOLE = 3000  # frames of Whisper's window
_STEP = 500
_SILENCE = 2.0  # below the loudest, in Whisper's unit of 40 dB


def on_a_cpu(model: WhisperModel) -> bool:
    """Where each worker of the model is a thread."""
    return bool(model.model.device == "cpu")


def padded(heard: Features, padding_s: float | None, *, whole: bool) -> Features:
    """A clip in its window: a whole one of 30 s, or with that much silence behind it at least.

    The encoder takes two thirds of the time, and as long for silence as for speech. Of a window without any silence
    Whisper makes nonsense; with 10 s of it, it hears what it hears in a whole one (bench/README.md, "Windows"). Lengths
    are multiples of 5 s, so that many clips have one and can be decoded together.

    The silence is what Whisper was trained with: 80 dB below the loudest, as samples of 0 give. faster-whisper has
    zeros in place of features there, which stand for a level: so it is without a padding_s, for the same answers.

    >>> [padded(np.zeros((80, frames), np.float32), 10, whole=False).shape[1] for frames in (90, 500, 501, 2050)]
    [1500, 1500, 2000, 3000]
    """
    frames = heard.shape[1]
    length = _WHOLE if whole or padding_s is None else min(_WHOLE, ceil((frames + padding_s * 100) / _STEP) * _STEP)
    silence = 0 if padding_s is None else heard.max(initial=0) - _SILENCE
    window = np.full((heard.shape[0], length), silence, heard.dtype)
    window[:, :frames] = heard[:, :length]
    return window


class EncoderOutput:
    """A batch as the encoder left it: on a GPU there, all windows of one length; on a processor clip by clip."""

    def __init__(self, model: WhisperModel, clips: Sequence[Prepared]) -> None:
        self._whole = None if on_a_cpu(model) else model.encode(np.concatenate([np.array(c, ndmin=3) for c in clips]))
        self._clips = [] if self._whole is not None else [np.array(clip, ndmin=3) for clip in clips]

    def length(self, index: int) -> int:
        """Of a clip's window; only what has one length goes together."""
        return int(self._clips[index].shape[1]) if self._clips else 0

    def alike(self, indices: Iterable[int]) -> list[list[int]]:
        """The clips by the lengths of their windows."""
        found: dict[int, list[int]] = {}
        for index in indices:
            found.setdefault(self.length(index), []).append(index)
        return list(found.values())

    def rows(self, indices: Sequence[int]) -> StorageView:
        """Some clips; CTranslate2 has no way to slice, so that goes by way of the processor's memory."""
        import ctranslate2

        if self._whole is not None and list(indices) == list(range(self._whole.shape[0])):
            return self._whole
        clips = self._clips or self._here
        return ctranslate2.StorageView.from_array(np.concatenate([clips[index] for index in indices]))

    @cached_property
    def _here(self) -> list[npt.NDArray[np.floating]]:
        import ctranslate2

        assert self._whole is not None
        return list(np.array(self._whole.to_device(ctranslate2.Device.cpu))[:, np.newaxis])
