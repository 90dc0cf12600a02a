"""Words that probably nobody said: what a transcriber writes over noise, breaths and silence.

No further model is needed to find them. A word is doubtful if no speaker's turn is near; if it is punctuation only;
if the transcriber gives it, or its whole segment, a very low probability; or if it belongs to a sentence that Whisper
is known to hallucinate, and either has a low probability or lies outside the speaker's turns.
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

# Chosen for Whisper base on real speech (bench/README.md, "Doubtful words"): there most words below them are wrong.
IMPROBABLE_WORD = 0.15
"""A word of a lower probability is doubtful."""
IMPROBABLE_SEGMENT = 0.4
"""So are all words of a segment whose mean probability is lower."""
SURE_SENTENCE = 0.7
"""A known hallucination with this mean probability, or a higher one, is taken for real speech."""

_SAID = frozenset("&%@#§°")
"""Marks that are read out as words."""


def mark_doubtful(
    words: Sequence[AttributedWord], transcript: Transcript, diarization: Diarization | None
) -> tuple[AttributedWord, ...]:
    """Mark the words that probably nobody said.

    Args:
        words: All words of the transcript, in its order.
        transcript: Its segments are judged as a whole.
        diarization: None if speakers were not asked for; then no word is doubtful for lack of a turn.

    Returns:
        The words in the same order, the doubtful ones with `doubtful` set.
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
    """Each word of a segment, and whether it is doubtful. `turns` has those of each speaker; None if not asked for."""
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
    """Whether Whisper is known to write this sentence where nobody speaks.

    >>> is_known_hallucination("Thanks for watching!"), is_known_hallucination("Thanks for watching my children.")
    (True, False)
    >>> is_known_hallucination("Субтитры сделал DimaTorzok")
    True
    """
    plain = " ".join("".join(char if char.isalnum() else " " for char in text.casefold()).split())
    return plain in SENTENCES or plain.startswith(BEGINNINGS)


def is_mark(text: str) -> bool:
    """Whether the text consists of marks that are not read out.

    >>> [is_mark(text) for text in ("--", "...", "♪", "&", "3.", "да")]
    [True, True, True, False, False, False]
    """
    return all(char not in _SAID and (category(char)[0] == "P" or category(char) == "So") for char in text)


def _stray_marks(texts: Sequence[str]) -> list[bool]:
    """Which texts of a segment are stray marks: several marks in a row, or a segment of nothing but marks.

    A single mark, such as a dash between words, is punctuation.
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
    """Whether the word's speaker speaks within reach of it. Where each channel is a speaker, that is not certain."""
    return word.speaker in turns and turns[word.speaker].gap_ms(word.word.span) <= REACH_MS


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
