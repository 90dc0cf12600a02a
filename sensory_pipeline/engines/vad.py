"""Where somebody speaks: Silero VAD v6 (MIT), from the model file in faster-whisper's wheel.

One probability for each window of 32 ms, then hysteresis. The recording is brought to a common level first,
because the model misses quiet speech.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from sensory_pipeline.audio.waveform import SAMPLE_RATE
from sensory_pipeline.core.arrays import Floats, Mask
from sensory_pipeline.core.spans import Span

MODEL = "silero-v6"


WINDOW = 512
"""Samples; the length the model was trained on."""
_WINDOW_MS = WINDOW * 1000 // SAMPLE_RATE
_CONTEXT = 64  # samples of the previous window, which the model gets too
_BLOCK = 4096  # windows in a call, 131 s, so that a long recording takes little memory
_HYSTERESIS = 0.15
_LEVEL = 0.1  # RMS of the loud passages, full scale = 1
_MAX_GAIN = 100.0


def speech_spans(
    samples: Floats,
    *,
    threshold: float = 0.4,
    min_silence_ms: int = 300,
    min_speech_ms: int = 150,
    pad_ms: int = 100,
) -> tuple[Span, ...]:
    """Spans of speech, in order of time and disjoint.

    Args:
        samples: 16 kHz mono, shape (frames,).
        threshold: The probability at which speech starts; it ends 0.15 below.
        min_silence_ms: A shorter silence does not interrupt speech.
        min_speech_ms: Shorter speech is dropped.
        pad_ms: Added at both ends, but at most half of the silence between two spans.
    """
    end_ms = len(samples) * 1000 // SAMPLE_RATE
    probabilities = speech_probabilities(samples)
    spans: list[list[int]] = []
    for first, last in _runs(probabilities >= threshold - _HYSTERESIS):
        above = np.flatnonzero(probabilities[first:last] >= threshold)
        if not above.size:
            continue
        start, end = (first + int(above[0])) * _WINDOW_MS, min(last * _WINDOW_MS, end_ms)
        if spans and start - spans[-1][1] < min_silence_ms:
            spans[-1][1] = end
        else:
            spans.append([start, end])
    spoken = [(start, end) for start, end in spans if end - start >= min_speech_ms]
    if not spoken:
        return ()
    middles = [(before[1] + after[0]) // 2 for before, after in pairwise(spoken)]
    return tuple(
        Span(start_ms=max(start - pad_ms, low), end_ms=min(end + pad_ms, high))
        for (start, end), low, high in zip(spoken, [0, *middles], [*middles, end_ms], strict=True)
    )


def speech_probabilities(samples: Floats) -> Floats:
    """The probability of speech in each window of 32 ms, shape (windows,). The last window is padded with zeros.

    Args:
        samples: 16 kHz mono, shape (frames,).
    """
    detector = Detector()
    mean, gain = normalisation(samples)
    answers = [np.empty(0, np.float32)]
    for start in range(0, len(samples), _BLOCK * WINDOW):
        block = np.clip((samples[start : start + _BLOCK * WINDOW] - mean) * gain, -1, 1)
        answers.append(detector.probabilities(np.pad(block, (0, -len(block) % WINDOW)).reshape(-1, WINDOW)))
    return np.concatenate(answers)


class Detector:
    """The model with its state for one stream of sound."""

    def __init__(self) -> None:
        from faster_whisper.vad import get_vad_model

        self._session = get_vad_model().session  # cached there, one thread
        self._state = self._cell = np.zeros((1, 1, 128), np.float32)
        self._context = np.zeros(_CONTEXT, np.float32)

    def probabilities(self, windows: Floats) -> Floats:
        """The probability of speech in each of the next windows, shape (count,).

        Args:
            windows: At a common level, shape (count, WINDOW).
        """
        contexts = np.vstack([self._context, windows[:-1, -_CONTEXT:]])
        self._context = windows[-1, -_CONTEXT:]
        inputs = {"input": np.hstack([contexts, windows]), "h": self._state, "c": self._cell}
        answer, self._state, self._cell = self._session.run(None, inputs)
        found: Floats = answer.reshape(-1)
        return found


def normalisation(samples: Floats) -> tuple[np.float32, np.float32]:
    """The offset to subtract, and the gain that then brings loud passages to an RMS of 0.1.

    The gain is at most 40 dB, so that a silent recording stays silent.
    """
    if not len(samples):
        return np.float32(0), np.float32(1)
    mean = samples.mean()
    length = min(len(samples), SAMPLE_RATE // 10)
    blocks = samples[: len(samples) // length * length].reshape(-1, length)
    power = np.einsum("ij,ij->i", blocks, blocks) / length - mean**2
    loud = float(np.sqrt(max(np.percentile(power, 95), 0)))
    return mean, np.float32(min(_LEVEL / max(loud, 1e-9), _MAX_GAIN))


def _runs(mask: Mask) -> list[tuple[int, int]]:
    """Half-open index ranges where the mask holds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]
