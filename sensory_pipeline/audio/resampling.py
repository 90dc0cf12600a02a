"""Frames of any format and rate into 16 bits at 16 kHz, a second at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import soxr
from av import AudioFrame
from av.audio.frame import format_dtypes

from sensory_pipeline.audio.containers.declared import truncated
from sensory_pipeline.audio.pcm import SAMPLE_RATE
from sensory_pipeline.core.errors import UnreadableAudio

Channels = Literal["mono", "keep"]
Floats = npt.NDArray[np.float32]

_RATES = range(1_000, 1_000_001)  # Hz; whatever records sound is inside
_INTEGER_SCALES = {np.dtype("u1"): 2.0**8, np.dtype("i2"): 1.0, np.dtype("i4"): 2.0**-16}
_FULL_SCALE = 2.0**15
_LOUDEST = 2.0**31  # where full scale is 1: beyond any scale that a writer of floats has used


def canonical(frames: Iterable[AudioFrame], channels: Channels) -> Iterator[npt.NDArray[np.int16]]:
    """The sound in pieces of about a second, each of shape (frames, channels).

    Frames of one shape are resampled as one stream; where the rate changes, as in files joined end
    to end, a new one begins. Raises UnreadableAudio for what is not sound, or when the number of
    channels changes and all are to be kept; TruncatedAudio for values that no recorder writes.
    """
    kept: int | None = None
    for (rate, count, name), run in groupby(frames, key=_shape):
        if rate not in _RATES or name not in format_dtypes:
            raise UnreadableAudio(f"no sound we know has {rate} Hz in samples of type {name}; check what it is")
        if channels == "keep" and kept not in (None, count):
            raise UnreadableAudio(f"it changes from {kept} to {count} channels midway; process it as mono")
        kept = count
        resampler = soxr.ResampleStream(
            rate, SAMPLE_RATE, count if channels == "keep" else 1, dtype="float32", quality="HQ"
        )
        block = np.empty((0, count), np.float32)
        for block in _seconds(run, rate):
            yield _int16(resampler.resample_chunk(_mixed(_floats(block), channels)))
        yield _int16(resampler.resample_chunk(_mixed(_floats(block[:0]), channels), last=True))


def interleaved(frame: AudioFrame) -> npt.NDArray[Any]:
    """Its samples, of shape (frames, channels)."""
    samples = frame.to_ndarray()
    return samples.T if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels)


def _shape(frame: AudioFrame) -> tuple[int, int, str]:
    return frame.sample_rate, frame.layout.nb_channels, frame.format.name


def _seconds(frames: Iterable[AudioFrame], rate: int) -> Iterator[npt.NDArray[Any]]:
    """Frames are short; joined to a second of sound they cost a tenth to resample."""
    pieces: list[npt.NDArray[Any]] = []
    for frame in frames:
        pieces.append(interleaved(frame))
        if sum(map(len, pieces)) >= rate:
            yield np.concatenate(pieces)
            pieces = []
    if pieces:
        yield np.concatenate(pieces)


def _floats(samples: npt.NDArray[Any]) -> Floats:
    """With the values of 16-bit integers: full scale is 32768."""
    scale = _INTEGER_SCALES.get(samples.dtype)
    if scale is None:
        # Written so that NaN is caught too.
        if not (np.abs(samples) <= _LOUDEST).all():
            raise truncated("it holds numbers that are no sound")
        scale = _FULL_SCALE
    floats: Floats = samples.astype(np.float32)
    if samples.dtype == np.uint8:
        floats -= 128
    floats *= np.float32(scale)
    return floats


def _mixed(samples: Floats, channels: Channels) -> Floats:
    if channels == "keep" or samples.shape[1] == 1:
        return np.ascontiguousarray(samples)
    count = samples.shape[1]
    mean: Floats = samples @ np.full((count, 1), 1 / count, np.float32)
    return mean


def _int16(samples: Floats) -> npt.NDArray[np.int16]:
    np.rint(samples, out=samples)
    np.clip(samples, -32768, 32767, out=samples)
    return samples.astype(np.int16)
