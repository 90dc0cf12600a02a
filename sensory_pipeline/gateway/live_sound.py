"""The recent sound of a live stream, and the speech in it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.core.spans import Span
from sensory_pipeline.engines.vad import SPEAKS, STOPS, WINDOW, Detector, normalisation, normalised

RATES = (8_000, 16_000, 24_000)
"""Supported sample rates in Hz."""

_WINDOW_MS = WINDOW * 1000 // SAMPLE_RATE
_LEAST_WINDOWS = 4  # fewer may be a click
_LEVEL_FRAMES = 10 * SAMPLE_RATE  # last samples, used for normalisation


class LiveSound:
    """Receives PCM16 and keeps the last part of it at 16 kHz. Times are milliseconds from the start of the stream.

    Args:
        rate: Sample rate of the stream in Hz.

    Attributes:
        start_ms: Start of the kept sound.
        speech: From the first to the last speech in the kept sound; None without speech.
    """

    def __init__(self, rate: int) -> None:
        self.start_ms = 0
        self.speech: Span | None = None
        self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, "int16") if rate != SAMPLE_RATE else None
        self._half = b""  # the first byte of an incomplete sample
        self._samples: npt.NDArray[np.int16] = np.empty(0, np.int16)
        self._recent: npt.NDArray[np.int16] = np.empty(0, np.int16)
        self._seen = 0  # samples that the detector has processed, from the start of the stream
        self._detector = Detector()
        self._speaking = False
        self._spoken_windows = 0

    @property
    def end_ms(self) -> int:
        """End of the kept sound."""
        return self.start_ms + len(self._samples) * 1000 // SAMPLE_RATE

    @property
    def silence_ms(self) -> int:
        """Milliseconds of silence after the last speech; 0 without speech."""
        return self._seen * 1000 // SAMPLE_RATE - self.speech.end_ms if self.speech else 0

    def hear(self, data: bytes) -> None:
        """Add sound: mono PCM16 of any length."""
        data = self._half + data
        whole = len(data) // 2 * 2
        self._half = data[whole:]
        samples = np.frombuffer(data[:whole], "<i2")
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples)
        self._samples = np.concatenate([self._samples, samples])
        self._recent = np.concatenate([self._recent, samples])[-_LEVEL_FRAMES:]
        self._detect()

    def cut(self, span: Span) -> Waveform:
        """The kept sound inside a span."""
        first, last = ((ms - self.start_ms) * SAMPLE_RATE // 1000 for ms in (span.start_ms, span.end_ms))
        return Waveform(samples=self._samples[max(0, first) : max(0, last)][None])

    def forget(self, until_ms: int) -> None:
        """Forget the sound and the speech before `until_ms`."""
        gone_ms = min(max(until_ms, self.start_ms), self.end_ms) - self.start_ms
        self._samples = self._samples[gone_ms * SAMPLE_RATE // 1000 :].copy()
        self.start_ms += gone_ms
        if self.speech and self.speech.end_ms > self.start_ms:
            self.speech = Span(start_ms=max(self.speech.start_ms, self.start_ms), end_ms=self.speech.end_ms)
        else:
            self.speech = None

    def _detect(self) -> None:
        frame = self.start_ms * SAMPLE_RATE // 1000
        unseen = self._samples[self._seen - frame :]
        unseen = unseen[: len(unseen) // WINDOW * WINDOW]
        if not len(unseen):
            return
        level = normalisation(Waveform(samples=self._recent[None]).mono())
        sound = normalised(Waveform(samples=unseen[None]).mono(), level)
        for probability in self._detector.probabilities(sound.reshape(-1, WINDOW)):
            window = self._seen * 1000 // SAMPLE_RATE
            self._seen += WINDOW
            self._speaking = bool(probability >= (STOPS if self._speaking else SPEAKS))
            if not self._speaking:
                if self.speech is None:
                    self._spoken_windows = 0
                continue
            self._spoken_windows += 1
            if self.speech is not None or self._spoken_windows >= _LEAST_WINDOWS:
                start_ms = self.speech.start_ms if self.speech else window - (_LEAST_WINDOWS - 1) * _WINDOW_MS
                self.speech = Span(start_ms=max(start_ms, self.start_ms), end_ms=window + _WINDOW_MS)
