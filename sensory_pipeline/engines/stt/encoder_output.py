"""What Whisper's encoder makes of clips."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Union

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ctranslate2 import StorageView
    from faster_whisper import WhisperModel

Features = npt.NDArray[np.float32]
"""Log-mel, shape (mels, frames), a frame every 10 ms."""
Prepared = Union[Features, "StorageView"]
"""A clip on its way into a batch: on a GPU the window that goes into the encoder, on a processor what came out of it,
since its caches do not fit a batch: alone each takes a fifth less time."""


def on_a_cpu(model: WhisperModel) -> bool:
    """Where each worker of the model is a thread."""
    return bool(model.model.device == "cpu")


class EncoderOutput:
    """A batch as the encoder left it, on its device."""

    def __init__(self, model: WhisperModel, clips: Sequence[Prepared]) -> None:
        import ctranslate2

        rows = np.concatenate([np.array(clip, ndmin=3) for clip in clips])
        self._whole = ctranslate2.StorageView.from_array(rows) if on_a_cpu(model) else model.encode(rows)

    def rows(self, indices: Sequence[int]) -> StorageView:
        """Some of it; CTranslate2 has no way to slice, so that goes by way of the processor's memory."""
        import ctranslate2

        if list(indices) == list(range(self._whole.shape[0])):
            return self._whole
        return ctranslate2.StorageView.from_array(np.ascontiguousarray(self._here[list(indices)]))

    @cached_property
    def _here(self) -> npt.NDArray[np.floating]:
        import ctranslate2

        return np.array(self._whole.to_device(ctranslate2.Device.cpu))
