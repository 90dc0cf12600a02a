"""espeak-ng, the formant synthesizer, with the time of every word.

Debian's package `espeak-ng` has the shared library and its voices (GPL-3). The library is called synchronously with
events (espeak-ng/speak_lib.h): a word event gives the start of each word; its end is the first pause phoneme after it,
or the next word. An utterance takes about 5 ms.
"""

from __future__ import annotations

import ctypes
from ctypes import CFUNCTYPE, POINTER, c_char, c_int, c_short, c_uint, c_void_p
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from sensory_pipeline.audio.waveform import SAMPLE_RATE
from sensory_pipeline.core.errors import ConfigurationError

Samples = npt.NDArray[np.float32]

_SYNCHRONOUS = 2
_PHONEME_EVENTS = 1
_UTF8 = 1
_BY_CHARACTER = 1
_RATE, _PITCH, _RANGE, _WORD_GAP = 1, 3, 4, 7
_LIST_END, _WORD, _END, _PHONEME = 0, 1, 5, 7
_TAIL_S = 0.02
"""Seconds kept after the last word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How espeak-ng speaks.

    Attributes:
        rate: Words per minute, 80 to 450.
        pitch: 0 to 100; 50 is the voice's own.
        pitch_range: 0 to 100; 50 is the voice's own.
        word_gap: Pause between words in units of 10 ms.
    """

    rate: int
    pitch: int
    pitch_range: int
    word_gap: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word; times are seconds from the start of the utterance."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Utterance:
    """What espeak-ng said.

    Attributes:
        samples: float32 in [-1, 1), shape (frames,), 16 kHz, without silence at the ends.
        words: The words.
    """

    samples: Samples
    words: tuple[Word, ...]

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE


class _EventId(ctypes.Union):
    _fields_ = (("number", c_int), ("name", c_void_p), ("string", c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", c_int),
        ("unique_identifier", c_uint),
        ("text_position", c_int),
        ("length", c_int),
        ("audio_position", c_int),  # ms
        ("sample", c_int),
        ("user_data", c_void_p),
        ("id", _EventId),
    )


_Callback = CFUNCTYPE(c_int, POINTER(c_short), c_int, POINTER(_Event))


class Espeak:
    """The synthesizer; at most one per process."""

    def __init__(self) -> None:
        """Load the library.

        Raises:
            ConfigurationError: espeak-ng is not installed.
        """
        try:
            self._library = ctypes.CDLL("libespeak-ng.so.1")
        except OSError as error:
            raise ConfigurationError(
                f"espeak-ng cannot be loaded ({error}): install it with `apt-get install espeak-ng`"
            ) from error
        self._rate_hz: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS)
        if self._rate_hz <= 0:
            raise ConfigurationError("espeak-ng finds no voices: install them with `apt-get install espeak-ng-data`")
        self._sound: list[npt.NDArray[np.int16]] = []
        self._events: list[tuple[int, float, bytes]] = []
        self._callback = _Callback(self._receive)  # kept, or it would be garbage-collected
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, words: list[str], *, voice: str, manner: Manner) -> Utterance:
        """Say the words without a pause.

        Args:
            words: The words.
            voice: Language and variant, such as `en-us+f3`.
            manner: How to say them.

        Raises:
            ConfigurationError: The voice is not installed.
        """
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise ConfigurationError(f"espeak-ng has no voice {voice}: `espeak-ng --voices=variant` lists them")
        for parameter, value in (
            (_RATE, manner.rate),
            (_PITCH, manner.pitch),
            (_RANGE, manner.pitch_range),
            (_WORD_GAP, manner.word_gap),
        ):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._sound.clear()
        self._events.clear()
        text = " ".join(words).encode()
        self._library.espeak_Synth(text, len(text) + 1, 0, _BY_CHARACTER, 0, _UTF8, None, None)
        sound = np.concatenate(self._sound)
        spans = _word_spans(self._events, end_s=len(sound) / self._rate_hz)
        if len(spans) != len(words):
            raise ValueError(f"espeak-ng joins or splits words of {words!r}: choose others")
        samples = soxr.resample(sound.astype(np.float32) / 32768, self._rate_hz, SAMPLE_RATE)
        return Utterance(
            samples=samples[: round((spans[-1][1] + _TAIL_S) * SAMPLE_RATE)],
            words=tuple(
                Word(text=text, start_s=start, end_s=end) for text, (start, end) in zip(words, spans, strict=True)
            ),
        )

    def _receive(self, sound: Any, frames: int, events: Any) -> int:
        if sound and frames:
            self._sound.append(np.ctypeslib.as_array(sound, (frames,)).copy())
        index = 0
        while (event := events[index]).type != _LIST_END:
            # The event's own string field stops at the first zero byte; phoneme names are short.
            name = event.id.string if event.type == _PHONEME else b""
            self._events.append((event.type, event.audio_position / 1000, name))
            index += 1
        return 0


def _word_spans(events: list[tuple[int, float, bytes]], *, end_s: float) -> list[tuple[float, float]]:
    """Return start and end of each word in seconds."""
    starts: list[float] = []
    ends: list[float | None] = []
    announced: float | None = None
    for kind, at_s, name in events:
        if kind == _WORD:
            announced = at_s
        elif kind == _PHONEME and not name.startswith(b"_"):
            if announced is not None:  # a word event without its own sound is not a word
                starts.append(announced)
                ends.append(None)
                announced = None
        elif kind in (_PHONEME, _END) and starts and ends[-1] is None:
            ends[-1] = at_s
    limits = [*starts[1:], end_s]
    return [
        (start, min(end, limit) if end is not None else limit)
        for start, end, limit in zip(starts, ends, limits, strict=True)
    ]
