"""Sound of any format and rate into 16 bits at 16 kHz, a second at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Literal

import numpy as np
import numpy.typing as npt
import soxr
from av.audio.frame import format_dtypes

from sensory_pipeline.audio.clock import Piece
from sensory_pipeline.audio.decoding_report import DecodingReport
from sensory_pipeline.audio.waveform import SAMPLE_RATE
from sensory_pipeline.core.arrays import Array, Floats
from sensory_pipeline.core.errors import UnreadableAudio

Channels = Literal["mono", "keep"]

_RATES = range(4_000, 1_000_001)  # Hz; whatever records speech is inside
_MOST_PIECES = 4096  # gathered, each of which may be a single sample
_INTEGER_SCALES = {np.dtype("u1"): 2.0**8, np.dtype("i2"): 1.0, np.dtype("i4"): 2.0**-16}
_FULL_SCALE = 2.0**15
_LOUDEST = 2.0**31  # where full scale is 1: beyond any scale that a writer of floats has used
_CANCELLED = 0.25  # 6 dB below what channels that have nothing to do with each other leave
_QUIET = 100.0  # mean square of 16-bit values, 70 dB below full scale: too little to tell


def canonical(
    pieces: Iterable[Piece], channels: Channels, report: DecodingReport, *, octaves_down: int = 0
) -> Iterator[npt.NDArray[np.int16]]:
    """The sound in pieces of about a second, each of shape (frames, channels).

    Pieces of one shape are resampled as one stream; where the rate changes, as in files joined end
    to end, a new one begins. Numbers that are no sound become silence, and are told. octaves_down: by
    which floating-point sound is made quieter. Raises UnreadableAudio for what is not sound, or when
    the number of channels changes and all are to be kept.
    """
    kept: int | None = None
    for (rate, count, name), run in groupby(pieces, key=lambda piece: piece.shape):
        if rate not in _RATES or name not in format_dtypes:
            raise UnreadableAudio(f"no sound we know has {rate} Hz in samples of type {name}; check what it is")
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
    """Pieces are short; joined to a second of sound they cost a tenth to resample."""
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
    """With the values of 16-bit integers: full scale is 32768."""
    scale = _INTEGER_SCALES.get(samples.dtype)
    if scale is None:
        is_sound = np.abs(samples) <= _LOUDEST  # which NaN is not
        if not is_sound.all():
            count = int((~is_sound).any(axis=1).sum())
            report.note_damage(f"{count} of its samples are numbers that are no sound")
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
    """The channels' mean; where they cancel each other, as with a wire of one reversed, the loudest."""
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
