"""Scores a hypothesis against the truth, as errors that can be summed over recordings.

WER, CER: wrong, missing and added words, or characters, divided by those that were said. Where people talk at once, the
truth is their utterances in order of their starts. cpWER: the words of each speaker separately, with the best
one-to-one mapping of speakers; tcpWER: in addition, a word must be within 5 s of its place. All by meeteval. DER: see
der.py. Times of words: how far starts and ends of correct words are off; words are paired within 5 s.

A figure over several recordings is the sum of their errors divided by the sum of what could have been wrong; for times
of words it is the median over all words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from meeteval.io import SegLST
from meeteval.wer.wer import (
    cp_word_error_rate,
    siso_word_error_rate,
    time_constrained_minimum_permutation_word_error_rate,
)
from meeteval.wer.wer.time_constrained import align

from bench.der import diarization_errors
from bench.hypotheses import Hypothesis, HypothesisWord
from bench.labelled import Recording, Said
from bench.normalisation import normalised, spelled
from sensory_pipeline.core.spans import cover

COLLARS_MS = {"DER": 0, "DER, collar 0.25 s": 250}
COLLAR_S = 5
"""How far from its place a word may be found, as in the CHiME challenges."""
PAUSE_MS = 1000
"""Words of a speaker that are further apart are separate utterances, so that tcpWER knows when they were said."""
NOBODY = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Errors, and what they are divided by: words, characters, milliseconds, recordings or hours."""

    errors: float
    of: float

    def __add__(self, other: Rate) -> Rate:
        return Rate(errors=self.errors + other.errors, of=self.of + other.of)

    @property
    def value(self) -> float | None:
        return self.errors / self.of if self.of else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The score of one recording, by measure.

    Attributes:
        rates: Errors.
        offsets_ms: Absolute errors of the starts and ends of correct words.
    """

    rates: Mapping[str, Rate]
    offsets_ms: Mapping[str, Sequence[int]] = field(default_factory=dict)


def score(recording: Recording, hypothesis: Hypothesis) -> Score:
    """Compute every measure for which both the truth and the hypothesis have something."""
    rates: dict[str, Rate] = {}
    offsets: Mapping[str, Sequence[int]] = {}
    if hypothesis.text is not None:
        rates |= _text_errors(recording, hypothesis.text)
        if recording.text:
            rates["language"] = Rate(errors=hypothesis.language != recording.language, of=1)
    if hypothesis.turns is not None and recording.turns:
        for name, collar_ms in COLLARS_MS.items():
            errors = diarization_errors(recording.turns, hypothesis.turns, collar_ms=collar_ms)
            rates[name] = Rate(errors=errors.errors_ms, of=errors.speech_ms)
        rates["speaker count"] = Rate(errors=abs(_speakers(hypothesis) - _speakers(recording)), of=1)
        if hypothesis.words is not None:
            rates |= _speaker_errors(recording, hypothesis.words)
    if hypothesis.words is not None and recording.words:
        offsets = word_offsets(recording.words, hypothesis.words, recording.language)
    return Score(rates=rates, offsets_ms=offsets)


def _text_errors(recording: Recording, text: str) -> dict[str, Rate]:
    if not recording.text:
        return {"false words": Rate(errors=len(text.split()), of=recording.duration_s / 3600)}
    language = recording.language
    words = siso_word_error_rate(normalised(recording.text, language), normalised(text, language))
    chars = siso_word_error_rate(spelled(recording.text, language), spelled(text, language))
    return {"WER": Rate(errors=words.errors, of=words.length), "CER": Rate(errors=chars.errors, of=chars.length)}


def _speakers(of: Hypothesis | Recording) -> int:
    return len({turn.speaker for turn in of.turns or ()})


def _speaker_errors(recording: Recording, words: Sequence[HypothesisWord]) -> dict[str, Rate]:
    language = recording.language
    said = _segments(recording.utterances, language)
    heard = _segments(_utterances(words, [word.speaker for word in words]), language)
    usual = _segments(_utterances(words, [word.by_overlap for word in words]), language)
    found = {
        "cpWER": cp_word_error_rate(said, heard),
        "cpWER, speakers as WhisperX": cp_word_error_rate(said, usual),
        "tcpWER": time_constrained_minimum_permutation_word_error_rate(said, heard, collar=COLLAR_S),
    }
    return {name: Rate(errors=rate.errors, of=rate.length) for name, rate in found.items()}


def _utterances(words: Sequence[HypothesisWord], speakers: Sequence[str | None]) -> Iterable[Said]:
    """Join consecutive words of one speaker without a long pause."""
    cuts = [
        i
        for i, (before, after) in enumerate(pairwise(words), 1)
        if speakers[i - 1] != speakers[i] or before.span.gap_ms(after.span) > PAUSE_MS
    ]
    for first, last in pairwise([0, *cuts, len(words)]):
        if run := words[first:last]:
            yield Said(
                text=" ".join(word.text for word in run),
                span=cover(word.span for word in run),
                speaker=speakers[first] or NOBODY,
            )


def _segments(said: Iterable[Said], language: str) -> SegLST:
    return SegLST(
        [
            {
                "session_id": "one",
                "speaker": item.speaker,
                "words": normalised(item.text, language),
                "start_time": item.span.start_s,
                "end_time": item.span.end_s,
            }
            for item in said
        ]
    )


def word_offsets(said: Sequence[Said], heard: Sequence[HypothesisWord], language: str) -> dict[str, list[int]]:
    """Return by how many milliseconds the starts and ends of correct words are off."""
    pairs = align(
        _timed(said, language),
        _timed(heard, language),
        collar=COLLAR_S,
        reference_pseudo_word_level_timing="none",
        hypothesis_pseudo_word_level_timing="none",
        style="seglst",
    )
    right = [(one, other) for one, other in pairs if one and other and one["words"] == other["words"]]
    return {
        f"word {edge}s, ms": [round(1000 * abs(one[f"{edge}_time"] - other[f"{edge}_time"])) for one, other in right]
        for edge in ("start", "end")
    }


def _timed(words: Sequence[Said | HypothesisWord], language: str) -> SegLST:
    """Return each word by itself, with its time."""
    return SegLST(
        [
            {"words": token, "start_time": word.span.start_s, "end_time": word.span.end_s}
            for word in sorted(words, key=lambda word: word.span)
            for token in normalised(word.text, language).split()
        ]
    )
