"""Where clips begin and end: the speech of a recording, cut into clips short enough for one window of Whisper.

A clip is a contiguous part of the recording. If speech is joined across silences, as faster-whisper's own filter
does, a word can straddle a joint, and its time is then arbitrary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from sensory_pipeline.audio.waveform import SAMPLE_RATE, frames_of
from sensory_pipeline.core.arrays import Floats
from sensory_pipeline.core.pauses import pack_spans, split_at_pauses
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.engines.vad import speech_probabilities, speech_spans

_PAD_MS = 200  # around speech, so that soft beginnings and ends of words are heard
_PAUSE_MS = 3000  # a longer silence is left out: Whisper hallucinates in it
_MARGIN_MS = 800  # sound around a clip; without it, 14.6 % of English words were wrong, not 12.9
_LEAST_HALVED_MS = 5000  # with 2000, 25.0 % of the words of AMI's excerpts were wrong, not 23.4
_SMOOTHING = 5  # windows of the voice activity detector


def speech_clips(samples: Floats, longest_ms: int) -> tuple[tuple[Span, ...], ...]:
    """The speech of each clip, with the soft sound around it, in order of time and disjoint; empty if nobody speaks.

    Speech is cut at its pauses, into as few clips as possible, since a short clip costs Whisper's encoder as much
    as a long one. Speech without a pause for longer than `longest_ms` is cut where the voice is weakest.

    Args:
        samples: 16 kHz mono, shape (frames,).
        longest_ms: The longest clip, in milliseconds.
    """
    spoken = [piece for span in speech_spans(samples, pad_ms=_PAD_MS) for piece in _pieces(samples, span, longest_ms)]
    breaks = [i for i, (before, after) in enumerate(pairwise(spoken), 1) if before.gap_ms(after) > _PAUSE_MS]
    parts = [spoken[first:last] for first, last in pairwise([0, *breaks, len(spoken)])]
    return tuple(tuple(part[run]) for part in parts for run in pack_spans(part, longest_ms))


def with_margins(clips: Sequence[Sequence[Span]], whole: Span, longest_ms: int) -> list[Span]:
    """The part to decode for each clip: its speech and some sound around it, at most half of that up to the next clip.

    Whisper misrecognises words at the very beginning or end of its input.

    >>> clips = [[Span(start_ms=900, end_ms=5_000)], [Span(start_ms=6_000, end_ms=9_000)]]
    >>> [(span.start_ms, span.end_ms) for span in with_margins(clips, Span(start_ms=0, end_ms=20_000), 30_000)]
    [(100, 5500), (5500, 9800)]

    Args:
        clips: The speech of each clip.
        whole: The part of the recording that may be decoded.
        longest_ms: The longest clip with its margins, in milliseconds.
    """
    if not clips:
        return []
    spoken = [cover(speech) for speech in clips]
    middles = [(before.end_ms + after.start_ms) // 2 for before, after in pairwise(spoken)]
    spans = []
    for span, low, high in zip(spoken, [whole.start_ms, *middles], [*middles, whole.end_ms], strict=True):
        margin_ms = min(_MARGIN_MS, max(0, longest_ms - span.duration_ms) // 2)
        spans.append(Span(start_ms=max(low, span.start_ms - margin_ms), end_ms=min(high, span.end_ms + margin_ms)))
    return spans


def halves(speech: Sequence[Span]) -> list[tuple[Span, ...]]:
    """A clip cut in two at its longest pause, if possible at one that leaves a third on both sides.

    Args:
        speech: The speech of the clip.

    Returns:
        The speech of both halves; empty if the clip has no pause, or is too short.
    """
    whole = cover(speech)
    if len(speech) < 2 or whole.duration_ms < _LEAST_HALVED_MS:
        return []
    return [tuple(speech[run]) for run in split_at_pauses(speech, whole.duration_ms - 1)]


def without_padding(speech: Iterable[Span]) -> Iterator[Span]:
    """The speech without the soft sound around it."""
    for span in speech:
        if span.duration_ms > 2 * _PAD_MS:
            yield Span(start_ms=span.start_ms + _PAD_MS, end_ms=span.end_ms - _PAD_MS)


def _pieces(samples: Floats, span: Span, longest_ms: int) -> Iterator[Span]:
    while span.duration_ms > longest_ms:
        window = Span(start_ms=span.start_ms + longest_ms // 3, end_ms=span.start_ms + longest_ms)
        cut_ms = window.start_ms + _weakest_ms(samples[frames_of(window)])
        yield Span(start_ms=span.start_ms, end_ms=cut_ms)
        span = Span(start_ms=cut_ms, end_ms=span.end_ms)
    yield span


def _weakest_ms(samples: Floats) -> int:
    """The middle of the part with the lowest probability of speech, in milliseconds."""
    probabilities = speech_probabilities(samples)
    smooth = np.convolve(probabilities, np.ones(_SMOOTHING) / _SMOOTHING, mode="valid")
    window_ms = len(samples) * 1000 / SAMPLE_RATE / len(probabilities)
    return round((int(np.argmin(smooth)) + _SMOOTHING / 2) * window_ms)
