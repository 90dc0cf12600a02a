"""Which words nobody said, in all likelihood: what a transcriber writes over noise, breaths and silence.

Signs that are there without a model of their own: no turn of a speaker is near; text of marks alone; a word, or a
whole segment, that the transcriber hardly believes itself; a sentence that Whisper is known to write where nobody
speaks, and that it is not sure of, or that lies outside the speaker's turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby, islice
from unicodedata import category

from sensory_pipeline.core.attribution import REACH_MS
from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.hallucinations import BEGINNINGS, SENTENCES
from sensory_pipeline.core.speech_regions import SpeechRegions
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.core.utterances import AttributedWord

# Chosen for Whisper base on real speech (bench/README.md, "Doubt"): there most words below them are wrong.
IMPROBABLE_WORD = 0.15
"""A word of a lower probability is doubtful."""
IMPROBABLE_SEGMENT = 0.4
"""So are all words of a segment whose mean probability is lower."""
SURE_SENTENCE = 0.7
"""A sentence that Whisper is known to invent is believed from this mean probability on."""

_SAID = frozenset("&%@#§°")
"""Marks that are read out as words."""


def mark_doubtful(
    words: Sequence[AttributedWord], transcript: Transcript, diarization: Diarization | None
) -> tuple[AttributedWord, ...]:
    """The words in the same order, with those that are doubtful marked so.

    words: all of the transcript's. diarization: None where nobody asked who spoke, so that nobody can be missed.
    """
    turns = _turns(diarization) if diarization is not None else None
    remaining = iter(words)
    return tuple(
        replace(word, doubtful=True) if doubtful else word
        for segment in transcript.segments
        for word, doubtful in _judged(list(islice(remaining, len(segment.words))), segment.text, turns)
    )


def _judged(
    words: Sequence[AttributedWord], text: str, turns: dict[str, SpeechRegions] | None
) -> Iterator[tuple[AttributedWord, bool]]:
    """The words of a segment. turns: of each speaker, None where nobody asked."""
    if not words:
        return
    sureness = _mean([word.word.probability for word in words])
    heard = turns is None or _mean([word.overlap_share for word in words]) >= 0.5
    invented = is_known_hallucination(text) and (sureness < SURE_SENTENCE or not heard)
    whole = invented or sureness < IMPROBABLE_SEGMENT
    for word, mark in zip(words, _stray_marks([word.word.text for word in words]), strict=True):
        nobody = turns is not None and not _near(word, turns)
        yield word, whole or mark or nobody or word.word.probability < IMPROBABLE_WORD


def is_known_hallucination(text: str) -> bool:
    """Whether it is a sentence that Whisper is known to write where nobody speaks.

    >>> is_known_hallucination("Thanks for watching!"), is_known_hallucination("Thanks for watching my children.")
    (True, False)
    >>> is_known_hallucination("Субтитры сделал DimaTorzok")
    True
    """
    plain = " ".join("".join(char if char.isalnum() else " " for char in text.casefold()).split())
    return plain in SENTENCES or plain.startswith(BEGINNINGS)


def is_mark(text: str) -> bool:
    """Whether nothing of it can be said.

    >>> [is_mark(text) for text in ("--", "...", "♪", "&", "3.", "да")]
    [True, True, True, False, False, False]
    """
    return all(char not in _SAID and (category(char)[0] == "P" or category(char) == "So") for char in text)


def _stray_marks(texts: Sequence[str]) -> list[bool]:
    """Which texts of a segment are marks that go with no word: several in a row, or nothing but marks.

    A single one, as a dash between words, is punctuation.
    """
    runs = [(mark, len(list(run))) for mark, run in groupby(texts, is_mark)]
    return [mark and (length > 1 or len(runs) == 1) for mark, length in runs for _ in range(length)]


def _turns(diarization: Diarization) -> dict[str, SpeechRegions]:
    both = (*diarization.turns, *diarization.exclusive)
    return {
        name: SpeechRegions(turn.span for turn in both if turn.speaker == name)
        for name in {turn.speaker for turn in both}
    }


def _near(word: AttributedWord, turns: dict[str, SpeechRegions]) -> bool:
    """Whether its speaker is heard within reach; where each channel is a speaker, that has to be looked up."""
    return word.speaker in turns and turns[word.speaker].gap_ms(word.word.span) <= REACH_MS


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
