"""Where a transcriber listens: stretches of a recording with speech in them, each short enough for one window.

A clip is a contiguous piece of the recording. Joining speech across the silence in between, as
faster-whisper's own filter does, lets a word straddle the joint, and its time is then anybody's guess.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sensory_pipeline.audio.pcm import SAMPLE_RATE
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.engines.vad import Samples, speech_probabilities, speech_spans

LONGEST_MS = 30_000
"""Whisper's window."""

_PAD_MS = 200  # around speech, so that soft beginnings and ends of words are heard
_PAUSE_MS = 2000  # a longer silence is left out: there is nothing in it but an occasion to hallucinate
_EARLIEST_CUT_MS = 10_000  # in speech without a pause
_SMOOTHING = 5  # windows of the voice activity detector


def speech_clips(samples: Samples) -> tuple[Span, ...]:
    """In order of time and disjoint; none where nobody speaks. samples: 16 kHz mono, shape (frames,).

    Speech is packed into as few clips as come without looking ahead, and cut only in its pauses; one
    that lasts longer than a window is cut where its voice is weakest.
    """
    clips: list[Span] = []
    for spoken in speech_spans(samples, pad_ms=_PAD_MS):
        for piece in _pieces(samples, spoken):
            if clips and clips[-1].gap_ms(piece) <= _PAUSE_MS and cover((clips[-1], piece)).duration_ms <= LONGEST_MS:
                clips[-1] = cover((clips[-1], piece))
            else:
                clips.append(piece)
    return tuple(clips)


def cut(samples: Samples, span: Span) -> Samples:
    """The samples inside the span."""
    return samples[_frames(span.start_ms) : _frames(span.end_ms)]


def _frames(ms: int) -> int:
    return ms * SAMPLE_RATE // 1000


def _pieces(samples: Samples, span: Span) -> Iterator[Span]:
    start_ms = span.start_ms
    while span.end_ms - start_ms > LONGEST_MS:
        window = Span(start_ms=start_ms, end_ms=start_ms + LONGEST_MS)
        cut_ms = start_ms + _weakest_ms(cut(samples, window))
        yield Span(start_ms=start_ms, end_ms=cut_ms)
        start_ms = cut_ms
    yield Span(start_ms=start_ms, end_ms=span.end_ms)


def _weakest_ms(samples: Samples) -> int:
    """The middle of the part, past the earliest cut, that is least like speech."""
    probabilities = speech_probabilities(samples)
    window_ms = len(samples) * 1000 / SAMPLE_RATE / len(probabilities)
    smooth = np.convolve(probabilities, np.ones(_SMOOTHING), mode="same")
    first = int(_EARLIEST_CUT_MS / window_ms)
    # the last windows are left out: what "same" sees beyond the end counts as silence
    weakest = first + int(np.argmin(smooth[first:-_SMOOTHING]))
    return round((weakest + 0.5) * window_ms)
