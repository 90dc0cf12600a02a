"""Turns of the whole recording, from the segmentation of its windows and the clustering of their speakers.

As in pyannote.audio (H. Bredin, "pyannote.audio 2.1 speaker diarization pipeline: principle, benchmark, and recipe",
Interspeech 2023), the windows over a frame vote on how many people speak in it, and on who they are. If two voices of
a window were assigned to the same speaker, pyannote adds any other speaker; here nobody is added whom no window found.
"""

from __future__ import annotations

import numpy as np

from sensory_pipeline.audio.waveform import SAMPLE_RATE
from sensory_pipeline.core.arrays import Indices, Mask, runs
from sensory_pipeline.core.spans import Span
from sensory_pipeline.engines.diarization.onnx.local_speakers import FRAME_SIZE, FRAME_STEP, FRAMES, WINDOW_STEP

Names = Indices
"""The speaker of each voice of each window, shape (windows, voices); NOBODY for a voice that has none."""

NOBODY = -1

_MOMENT_S = 2.0
_MOMENT_SHARE = 0.05  # of all speech
"""Overlapped speech counts only above both limits. In five recordings of one reader, 380 s together, none is found."""


def speaker_count(speaking: Mask) -> Indices:
    """How many people speak in each frame of the recording: the mean over its windows, rounded.

    Args:
        speaking: Shape (windows, frames, voices).
    """
    voices = np.zeros(_length(speaking), np.int32)
    windows = np.zeros_like(voices)
    for frames, window in zip(_places(speaking), speaking, strict=True):
        voices[frames] += window.sum(axis=1)
        windows[frames] += 1
    return np.rint(voices / windows).astype(np.intp)


def people_at_once(count: Indices) -> int:
    """How many people certainly speak, since as many speak at once, and for more than a moment."""
    spoken = count > 0
    enough = max(_MOMENT_S * SAMPLE_RATE / FRAME_STEP, _MOMENT_SHARE * spoken.sum())
    return max((number for number in range(2, count.max() + 1) if (count >= number).sum() >= enough), default=1)


def activity(speaking: Mask, names: Names, count: Indices) -> tuple[Mask, Mask]:
    """Who speaks in each frame.

    The speakers with the most windows are chosen; on a tie, the first.

    Args:
        speaking: Shape (windows, frames, voices).
        names: The speaker of each voice.
        count: How many people speak in each frame.

    Returns:
        At most `count` speakers in each frame, and at most one speaker in each frame; both of shape (frames, speakers).
    """
    votes = np.zeros((len(count), names.max() + 1), np.uint8)
    for frames, window, owners in zip(_places(speaking), speaking, names, strict=True):
        for speaker in set(owners.tolist()) - {NOBODY}:
            votes[frames, speaker] += window[:, owners == speaker].any(axis=1)
    everybody, foremost = np.zeros(votes.shape, np.bool_), np.zeros(votes.shape, np.bool_)
    every = np.arange(len(votes))
    for place in range(count.max()):
        best = votes.argmax(axis=1)
        heard = (count > place) & (votes[every, best] > 0)
        everybody[every[heard], best[heard]] = True
        votes[every, best] = 0
        if place == 0:
            foremost[:] = everybody
    return everybody, foremost


def turns(active: Mask, recording: Span) -> list[tuple[Span, int]]:
    """Span and speaker of each stretch of speech without a pause, in order of time.

    Args:
        active: Shape (frames, speakers).
        recording: The whole recording.
    """
    found = []
    for speaker, spoken in enumerate(active.T):
        for first, last in runs(spoken):
            span = Span.from_seconds(_time_s(first), _time_s(last)).clip(recording)
            if span.duration_ms:
                found.append((span, speaker))
    return sorted(found)


def _time_s(frame: int) -> float:
    return (FRAME_SIZE / 2 + frame * FRAME_STEP) / SAMPLE_RATE


def _length(speaking: Mask) -> int:
    return (len(speaking) - 1) * WINDOW_STEP + FRAMES


def _places(speaking: Mask) -> list[slice]:
    starts = range(0, len(speaking) * WINDOW_STEP, WINDOW_STEP)
    return [slice(start, start + FRAMES) for start in starts]
