"""The one canonical audio: PCM16 at 16 kHz. Every engine gets exactly this, on every path."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sensory_pipeline.core.arrays import Floats
from sensory_pipeline.core.spans import Span

SAMPLE_RATE = 16_000
"""Hz."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Waveform:
    """The sound of a recording.

    Attributes:
        samples: int16, shape (channels, frames), 16 kHz.
    """

    samples: npt.NDArray[np.int16]

    @property
    def channels(self) -> int:
        return int(self.samples.shape[0])

    @property
    def duration_ms(self) -> int:
        frames: int = self.samples.shape[1]
        return round(frames * 1000 / SAMPLE_RATE)

    @property
    def span(self) -> Span:
        return Span(start_ms=0, end_ms=self.duration_ms)

    @property
    def sha256(self) -> str:
        """Of the samples and the number of channels, in hexadecimal digits."""
        digest = hashlib.sha256(self.channels.to_bytes(2))
        for channel in self.samples:
            digest.update(np.ascontiguousarray(channel).data)
        return digest.hexdigest()

    def mono(self) -> Floats:
        """The mean of the channels: float32 in [-1, 1), shape (frames,)."""
        mixed: Floats = self.samples.mean(axis=0, dtype=np.float32) / np.float32(32768)
        return mixed

    def stretch(self, first: int, last: int) -> Floats:
        """Frames `first` to `last` of `mono`, shape (last - first,), with silence after the end of the sound."""
        sound = Waveform(samples=self.samples[:, first:last]).mono()
        return np.pad(sound, (0, last - first - len(sound)))

    def channel(self, index: int) -> Waveform:
        """One channel alone."""
        return Waveform(samples=self.samples[index : index + 1])

    def cut(self, span: Span) -> Waveform:
        """The part inside the span."""
        return Waveform(samples=self.samples[:, frames_of(span)])


def frames_of(span: Span) -> slice:
    """The frames inside the span, at 16 kHz.

    >>> frames_of(Span(start_ms=500, end_ms=1000))
    slice(8000, 16000, None)
    """
    return slice(span.start_ms * SAMPLE_RATE // 1000, span.end_ms * SAMPLE_RATE // 1000)
