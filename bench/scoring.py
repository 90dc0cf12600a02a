"""Transcripts and diarizations against the truth: counts of a recording, figures of many.

- Word error rate: substituted, missing and added words over the words really said; lower case,
  without punctuation. For a voice, an added word counts against the voice heard before it.
- Diarization error rate: see der.py, with a collar of 0.25 s on each side of an edge and without;
  breaths inside a turn are part of it.
- Words with the right speaker: true and heard words are paired by the alignment of the word error
  rate, correct and substituted ones alike, and speakers by the one-to-one mapping that is best for
  the recording. Counted over the pairs, and over all words really said, a missing one being wrong.
- By how much the starts of correct words are off: the median.

Figures of a group are rates of its sums, not means of the recordings' rates.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import jiwer

from bench.der import DiarizationErrors, best_mapping, diarization_errors
from bench.truth import Truth
from sensory_pipeline.core.diarization import Turn
from sensory_pipeline.core.spans import Span

COLLAR_MS = 250
NOBODY = "nobody"
"""The voice that words heard in a silent recording count against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardWord:
    """A word of the transcript. speaker: None where nobody was named."""

    text: str
    span: Span
    speaker: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What the engines made of a recording, in order of time."""

    words: tuple[HeardWord, ...]
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Counts for one recording, to be summed over several.

    words and word_errors: by voice; paired, right_speaker: words; start_errors_ms: of each correct
    word, without sign.
    """

    words: Counter[str]
    word_errors: Counter[str]
    paired: int
    right_speaker: int
    start_errors_ms: tuple[int, ...]
    strict: DiarizationErrors
    collared: DiarizationErrors
    speakers: int
    found_speakers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Rates from 0 (word and diarization errors may pass 1); None where there is nothing to divide by."""

    recordings: int
    words: int
    word_errors: int
    wer: float | None
    der: float | None
    der_collared: float | None
    right_speaker_of_paired: float | None
    right_speaker_of_all: float | None
    right_speaker_count: int
    start_error_ms: float | None


def score(truth: Truth, heard: Heard) -> Score:
    """Compares what was heard in one recording with what is in it."""
    true = [
        (token, turn.speaker, word.start_s)
        for turn in truth.turns
        for word in turn.words
        for token in tokens(word.text)
    ]
    found = [(token, word) for word in heard.words for token in tokens(word.text)]
    voices = [truth.speakers[speaker].voice for _, speaker, _ in true]
    (alignment,) = jiwer.process_words(
        " ".join(token for token, *_ in true), " ".join(token for token, _ in found)
    ).alignments

    word_errors, shared = Counter[str](), Counter[tuple[str, str]]()
    start_errors, paired = [], 0
    for chunk in alignment:
        true_indices = range(chunk.ref_start_idx, chunk.ref_end_idx)
        found_indices = range(chunk.hyp_start_idx, chunk.hyp_end_idx)
        if chunk.type == "insert":
            voice = voices[max(0, chunk.ref_start_idx - 1)] if voices else NOBODY
            word_errors[voice] += len(found_indices)
            continue
        if chunk.type != "equal":
            word_errors.update(voices[i] for i in true_indices)
        for i, j in zip(true_indices, found_indices, strict=False):
            _, speaker, start_s = true[i]
            _, word = found[j]
            paired += 1
            if word.speaker is not None:
                shared[word.speaker, speaker] += 1
            if chunk.type == "equal":
                start_errors.append(abs(word.span.start_ms - round(start_s * 1000)))
    turns = [Turn(span=Span.from_seconds(turn.start_s, turn.end_s), speaker=turn.speaker) for turn in truth.turns]
    return Score(
        words=Counter(voices),
        word_errors=word_errors,
        paired=paired,
        right_speaker=sum(shared[pair] for pair in best_mapping(shared).items()),
        start_errors_ms=tuple(start_errors),
        strict=diarization_errors(turns, heard.turns, collar_ms=0),
        collared=diarization_errors(turns, heard.turns, collar_ms=COLLAR_MS),
        speakers=len(truth.speakers),
        found_speakers=len({turn.speaker for turn in heard.turns}),
    )


def tokens(text: str) -> list[str]:
    r"""What counts as words of it.

    >>> tokens("I\u2019d say: twenty-one.")
    ["i'd", 'say', 'twenty', 'one']
    """
    return re.findall(r"[\w']+", text.lower().replace("\u2019", "'"))


def summarise(scores: Iterable[Score]) -> Figures:
    """Of all recordings together."""
    scores = list(scores)
    words = sum(item.words.total() for item in scores)
    word_errors = sum(item.word_errors.total() for item in scores)
    right_speaker = sum(item.right_speaker for item in scores)
    start_errors = [error for item in scores for error in item.start_errors_ms]
    return Figures(
        recordings=len(scores),
        words=words,
        word_errors=word_errors,
        wer=_share(word_errors, words),
        der=_der([item.strict for item in scores]),
        der_collared=_der([item.collared for item in scores]),
        right_speaker_of_paired=_share(right_speaker, sum(item.paired for item in scores)),
        right_speaker_of_all=_share(right_speaker, words),
        right_speaker_count=sum(item.speakers == item.found_speakers for item in scores),
        start_error_ms=median(start_errors) if start_errors else None,
    )


def voice_error_rates(scores: Iterable[Score]) -> dict[str, float | None]:
    """Word error rate by voice."""
    words, word_errors = Counter[str](), Counter[str]()
    for item in scores:
        words += item.words
        word_errors += item.word_errors
    return {voice: _share(word_errors[voice], words[voice]) for voice in sorted(words)}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _der(errors: Sequence[DiarizationErrors]) -> float | None:
    return _share(sum(item.errors_ms for item in errors), sum(item.speech_ms for item in errors))
