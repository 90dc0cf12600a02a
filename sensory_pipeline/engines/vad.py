"""Where somebody speaks: Silero VAD v6 (MIT), from the model file in faster-whisper's wheel.

One probability for each window of 32 ms, then hysteresis. The recording is brought to a common level first,
because the model misses quiet speech.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from sensory_pipeline.audio.waveform import SAMPLE_RATE
from sensory_pipeline.core.arrays import Floats, runs
from sensory_pipeline.core.spans import Span

MODEL = "silero-v6"

Level = tuple[np.float32, np.float32]
"""An offset to subtract, and the gain after it."""

WINDOW = 512
"""Samples; the length the model was trained on."""
SPEAKS, STOPS = 0.4, 0.25
"""Probabilities: speech starts at the first, and ends below the second."""
LEAST_SILENCE_MS = 300
"""A shorter silence does not interrupt speech."""
LEAST_SPEECH_MS = 150
"""Shorter speech is dropped."""
_WINDOW_MS = WINDOW * 1000 // SAMPLE_RATE
_CONTEXT = 64  # samples of the previous window, which the model gets too
_BLOCK = 4096  # windows in a call, 131 s, so that a long recording takes little memory
_LEVEL = 0.1  # RMS of the loud passages, full scale = 1
_MAX_GAIN = 100.0


def speech_spans(samples: Floats, *, pad_ms: int = 100) -> tuple[Span, ...]:
    """Spans of speech, in order of time and disjoint.

    Args:
        samples: 16 kHz mono, shape (frames,).
        pad_ms: Added at both ends, but at most half of the silence between two spans.
    """
    end_ms = len(samples) * 1000 // SAMPLE_RATE
    probabilities = speech_probabilities(samples)
    spans: list[list[int]] = []
    for first, last in runs(probabilities >= STOPS):
        above = np.flatnonzero(probabilities[first:last] >= SPEAKS)
        if not above.size:
            continue
        start, end = (first + int(above[0])) * _WINDOW_MS, min(last * _WINDOW_MS, end_ms)
        if spans and start - spans[-1][1] < LEAST_SILENCE_MS:
            spans[-1][1] = end
        else:
            spans.append([start, end])
    spoken = [(start, end) for start, end in spans if end - start >= LEAST_SPEECH_MS]
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
    level = normalisation(samples)
    answers = [np.empty(0, np.float32)]
    for start in range(0, len(samples), _BLOCK * WINDOW):
        block = normalised(samples[start : start + _BLOCK * WINDOW], level)
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


def normalisation(samples: Floats) -> Level:
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


def normalised(samples: Floats, level: Level) -> Floats:
    """The samples at the common level, clipped to full scale.

    Args:
        samples: 16 kHz mono, shape (frames,).
        level: From `normalisation`.
    """
    mean, gain = level
    found: Floats = np.clip((samples - mean) * gain, -1, 1)
    return found
