"""Flite, the small speech synthesizer of Carnegie Mellon University, with the time of every word.

Debian's package `flite` has the program and four American and Scottish voices as shared libraries (free, BSD-like
licence). The program prints phones but not the words they belong to, so this module reads the utterance structure of
the library itself (flite.h, cst_utterance.h, cst_wave.h).
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_float, c_int, c_short, c_void_p
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sensory_pipeline.core.errors import ConfigurationError

VOICES = ("slt", "rms", "awb", "kal16")
SAMPLE_RATE = 16_000
"""Hz, of all four voices."""

_WORD_START = b"daughter1.R:SylStructure.daughter1.daughter1.R:Segment.p.end"
_WORD_END = b"daughtern.R:SylStructure.daughtern.daughtern.R:Segment.end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word as written, without punctuation; times are seconds from the start of the utterance."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Utterance:
    """What flite said.

    Attributes:
        samples: float64 in [-1, 1), shape (frames,), 16 kHz, with silence at both ends.
        words: The words.
    """

    samples: npt.NDArray[np.float64]
    words: tuple[Word, ...]


class _Wave(ctypes.Structure):
    _fields_ = (
        ("type", c_char_p),
        ("sample_rate", c_int),
        ("num_samples", c_int),
        ("num_channels", c_int),
        ("samples", POINTER(c_short)),
    )


class Flite:
    """The synthesizer."""

    def __init__(self) -> None:
        """Load the libraries.

        Raises:
            ConfigurationError: flite or one of its voices is not installed.
        """
        self._lib = shared_library("flite")
        shared_library("flite_usenglish")
        shared_library("flite_cmulex")
        self._declare("flite_init", c_int)
        self._declare("flite_synth_text", c_void_p, c_char_p, c_void_p)
        self._declare("delete_utterance", None, c_void_p)
        self._declare("utt_wave", POINTER(_Wave), c_void_p)
        self._declare("utt_relation", c_void_p, c_void_p, c_char_p)
        self._declare("relation_head", c_void_p, c_void_p)
        self._declare("item_next", c_void_p, c_void_p)
        self._declare("ffeature_string", c_char_p, c_void_p, c_char_p)
        self._declare("ffeature_float", c_float, c_void_p, c_char_p)
        self._lib.flite_init()
        self._libc = ctypes.CDLL(None)
        self._voices = {name: _voice(name) for name in VOICES}

    def say(self, sentence: str, *, voice: str) -> Utterance:
        """Return the sentence, spoken by one of VOICES; the samples are the same every time."""
        # Three of the voices add noise with C's rand(), whose state belongs to the whole process.
        self._libc.srand(1)
        lib = self._lib
        utterance = lib.flite_synth_text(sentence.encode("ascii"), self._voices[voice])
        wave = lib.utt_wave(utterance).contents
        samples = np.ctypeslib.as_array(wave.samples, (wave.num_samples,)) / 32768.0
        words = []
        token = lib.relation_head(lib.utt_relation(utterance, b"Token"))
        while token:
            words.append(
                Word(
                    text=lib.ffeature_string(token, b"name").decode("ascii"),
                    start_s=lib.ffeature_float(token, _WORD_START),
                    end_s=lib.ffeature_float(token, _WORD_END),
                )
            )
            token = lib.item_next(token)
        lib.delete_utterance(utterance)
        return Utterance(samples=samples, words=tuple(words))

    def _declare(self, name: str, result: type | None, *arguments: type) -> None:
        function = getattr(self._lib, name)
        function.restype, function.argtypes = result, arguments


def shared_library(name: str) -> ctypes.CDLL:
    """Load a part of flite.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        return ctypes.CDLL(f"lib{name}.so.1", mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise ConfigurationError(
            f"flite cannot be loaded ({error}): install it with `apt-get install flite`"
        ) from error


def _voice(name: str) -> int:
    register = getattr(shared_library(f"flite_cmu_us_{name}"), f"register_cmu_us_{name}")
    register.restype, register.argtypes = c_void_p, [c_char_p]
    voice: int = register(None)
    return voice
