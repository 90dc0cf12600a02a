"""Converts sound of any format and rate to 16 bits at 16 kHz, a second at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Literal

import numpy as np
import numpy.typing as npt
import soxr
from av.audio.frame import format_dtypes

from sensory_pipeline.audio.decoding_report import DecodingReport
from sensory_pipeline.audio.timestamps import Piece
from sensory_pipeline.audio.waveform import SAMPLE_RATE
from sensory_pipeline.core.arrays import Array, Floats
from sensory_pipeline.core.errors import UnreadableAudio

Channels = Literal["mono", "keep"]

_RATES = range(4_000, 1_000_001)  # Hz; includes every rate used for speech
_MOST_PIECES = 4096  # gathered before they are joined; each may be a single sample
_INTEGER_SCALES = {np.dtype("u1"): 2.0**8, np.dtype("i2"): 1.0, np.dtype("i4"): 2.0**-16}
_FULL_SCALE = 2.0**15
_LOUDEST = 2.0**31  # with full scale 1; no writer of floats uses a larger scale
_CANCELLED = 0.25  # 6 dB below the mean of uncorrelated channels
_QUIET = 100.0  # mean square of 16-bit values, 70 dB below full scale: too quiet to judge


def resample(
    pieces: Iterable[Piece], channels: Channels, report: DecodingReport, *, octaves_down: int = 0
) -> Iterator[npt.NDArray[np.int16]]:
    """Convert sound to 16 bits at 16 kHz, in pieces of about a second.

    Pieces of one format are resampled as one stream. If the rate changes, as in files joined end to end, a new stream
    begins. Invalid numbers become silence, and are reported.

    Args:
        pieces: As decoded.
        channels: "mono" for the mean of the channels, "keep" for each of them.
        report: Gets what is noticed.
        octaves_down: By how many octaves (6 dB) floating-point sound is made quieter.

    Yields:
        int16 at 16 kHz, shape (frames, channels).

    Raises:
        UnreadableAudio: It is not sound; or the number of channels changes, and all are to be kept.
    """
    kept: int | None = None
    for (rate, count, name), run in groupby(pieces, key=lambda piece: piece.shape):
        if rate not in _RATES or name not in format_dtypes:
            raise UnreadableAudio(f"{rate} Hz with samples of type {name} is not supported; check what it is")
        if channels == "keep" and kept not in (None, count):
            raise UnreadableAudio(f"it changes from {kept} to {count} channels midway; process it as mono")
        kept = count
        resampler = soxr.ResampleStream(
            rate, SAMPLE_RATE, count if channels == "keep" else 1, dtype="float32", quality="HQ"
        )
        for block in _seconds(run, rate):
            floats = _floats(block, rate, report, octaves_down)
            if channels == "mono" and count > 1:
                floats = _mixed(floats, rate, report)
            yield _int16(resampler.resample_chunk(np.ascontiguousarray(floats)))
        nothing = np.empty((0, count if channels == "keep" else 1), np.float32)
        yield _int16(resampler.resample_chunk(nothing, last=True))


def _seconds(pieces: Iterable[Piece], rate: int) -> Iterator[Array]:
    """Join pieces to a second of sound: resampling them one by one takes ten times as long."""
    gathered: list[Array] = []
    count = 0
    for piece in pieces:
        gathered.append(piece.samples)
        count += len(piece.samples)
        if count >= rate:
            yield np.concatenate(gathered)
            gathered, count = [], 0
        elif len(gathered) >= _MOST_PIECES:
            gathered = [np.concatenate(gathered)]
    if count:
        yield np.concatenate(gathered)


def _floats(samples: Array, rate: int, report: DecodingReport, octaves_down: int) -> Floats:
    """The samples as floats on the scale of 16-bit integers: full scale is 32768."""
    scale = _INTEGER_SCALES.get(samples.dtype)
    if scale is None:
        is_sound = np.abs(samples) <= _LOUDEST  # false for NaN
        if not is_sound.all():
            count = int((~is_sound).any(axis=1).sum())
            report.note_damage(f"{count} of its samples are not valid numbers")
            report.lost_s += count / rate
            report.decoded_s -= count / rate
            samples = np.where(is_sound, samples, 0)
        report.note_loudness(samples)
        scale = _FULL_SCALE / 2**octaves_down
    floats: Floats = samples.astype(np.float32)
    if samples.dtype == np.uint8:
        floats -= 128
    floats *= np.float32(scale)
    return floats


def _mixed(samples: Floats, rate: int, report: DecodingReport) -> Floats:
    """The mean of the channels. If they cancel each other, as with one wire reversed, the loudest channel."""
    count = samples.shape[1]
    mean: Floats = samples @ np.full((count, 1), 1 / count, np.float32)
    powers = np.mean(np.square(samples), axis=0, dtype=np.float64)
    power = float(powers.mean())
    if power > _QUIET and float(np.mean(np.square(mean), dtype=np.float64)) < _CANCELLED * power / count:
        report.cancelled_s += len(samples) / rate
        loudest = int(powers.argmax())
        return samples[:, loudest : loudest + 1]
    return mean


def _int16(samples: Floats) -> npt.NDArray[np.int16]:
    np.rint(samples, out=samples)
    np.clip(samples, -32768, 32767, out=samples)
    return samples.astype(np.int16)
