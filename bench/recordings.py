"""Sound for the benchmarks: speech of the samples, in pieces of any length."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.truth import Truth, read_truths
from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.spans import Span

SAMPLES = Path(__file__).parents[1] / "samples"


def sample(name: str) -> tuple[Waveform, Truth]:
    """Return one of the samples, and its truth."""
    truths = {truth.file: truth for truth in read_truths(SAMPLES)}
    return decode(SAMPLES / name, max_duration_s=120).pcm, truths[name]


def speech() -> Waveform:
    """Return all samples, one after the other."""
    sounds = [decode(SAMPLES / truth.file, max_duration_s=120).pcm.mono() for truth in read_truths(SAMPLES)]
    return Waveform(samples=(np.concatenate(sounds) * 32767).astype(np.int16)[None])


def recordings(shortest_s: float, longest_s: float, *, total_s: float) -> list[Waveform]:
    """Return pieces of speech whose lengths are spread evenly on a logarithmic scale.

    Args:
        shortest_s: Shortest length in seconds.
        longest_s: Longest length in seconds.
        total_s: Length of all together in seconds.
    """
    whole = speech()
    lengths = np.random.default_rng(1)
    found: list[Waveform] = []
    at_ms = 0
    while at_ms < total_s * 1000:
        length_ms = round(1000 * float(np.exp(lengths.uniform(np.log(shortest_s), np.log(longest_s)))))
        start_ms = at_ms % (whole.span.end_ms - length_ms)
        found.append(whole.cut(Span(start_ms=start_ms, end_ms=start_ms + length_ms)))
        at_ms += length_ms
    return found
