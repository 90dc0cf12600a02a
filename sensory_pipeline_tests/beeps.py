"""Recordings of short tones, and where they are heard once the recording is decoded."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline_tests.encoded_audio import ENCODINGS, Encoding

OPUS = ENCODINGS["opus"]

AAC = Encoding(codec="aac", container="matroska", rate=48_000)

BEEP_S = 0.12

SILENT = -1.0

TOLERANCE_S = 0.05


def beeps(starts_s: list[float], length_s: float, encoding: Encoding) -> npt.NDArray[np.float64]:
    """A short tone at each of these times, on all channels, over a little noise."""
    samples = np.random.default_rng(1).normal(0, 0.01, round(length_s * encoding.rate))
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(round(BEEP_S * encoding.rate)) / encoding.rate)
    for start in starts_s:
        begin = round(start * encoding.rate)
        samples[begin : begin + len(tone)] += tone[: len(samples) - begin]
    return np.tile(samples, (encoding.channels, 1))


def heard(pcm: Waveform) -> list[float]:
    """When tones begin."""
    window = SAMPLE_RATE // 200
    samples = pcm.mono()
    blocks = np.abs(samples[: len(samples) // window * window]).reshape(-1, window).max(axis=1) > 0.15
    starts = [place for place in np.flatnonzero(blocks) if not blocks[max(0, place - 8) : place].any()]
    return [place * window / SAMPLE_RATE for place in starts if blocks[place : place + 20].sum() >= 12]


def same(found: list[float], wanted: list[float]) -> bool:
    return len(found) == len(wanted) and all(
        abs(one - other) <= TOLERANCE_S for one, other in zip(found, wanted, strict=True)
    )
