"""Which speaker said which word: a transcriber's words are compared with a diarizer's turns.

Both are a little off: word times by about 60 ms, edges of turns by about 150 ms. So the evidence
against a speaker is counted in milliseconds: how wrong the edges would have to be for the word
to be theirs, plus a penalty for taking a whole turn from somebody else. A change of speaker has
a cost in the same unit, high in the middle of a sentence, zero at its end or after a long pause.
The cheapest sequence of speakers wins (Viterbi, 1967): words that a turn's edge cuts off stay with
their sentence, while a "yes" with a turn of its own keeps its speaker.

The cost is the mean over two diarizations: turns that may overlap, and exclusive turns with one speaker
at a time. Where people talk at once, the exclusive turns guess whom the transcriber followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from unicodedata import east_asian_width

from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.punctuation import ends_sentence
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.speech_regions import SpeechRegions, overlapped_speech
from sensory_pipeline.core.transcripts import Word
from sensory_pipeline.core.utterances import AttributedWord

REACH_MS = 500
"""A word further than this from the nearest turn has no speaker."""

# Found with bench/attribution.py on seeds from 100 on. Results hardly change around them, as long as the penalty for a
# turn is above the cost of a change: else a "yes" in the middle of a sentence is lost.
TURN_MS = 800
"""The penalty for taking a whole turn from its speaker; for a part of a turn, that part of it."""
SHORTEST_TURN_MS = 100
"""A shorter turn, in which nobody can say a word, counts as a part of one."""
MID_SENTENCE_MS = 500
"""The cost of a change of speaker within a sentence, if the transcript has sentences."""
HESITATION_MS = 500
"""A longer pause lowers that cost by as much as it is longer: a full stop may be missing."""
NO_PAUSE_MS = 100
"""The cost of a change of speaker without a pause; a pause lowers it by its length."""

_Evidence = dict[str | None, float]
"""The evidence against each speaker within reach, in milliseconds; only None if nobody is."""


def plausible_ms(text: str) -> int:
    """The longest time a word may reasonably take, in milliseconds, even in slow speech.

    A letter takes about 70 ms. A digit is read as a word of four letters, a wide character as a syllable.

    >>> plausible_ms("yes"), plausible_ms("1999"), plausible_ms("東京")
    (600, 1900, 900)
    """
    letters = sum(
        4 if char.isdigit() else 3 if east_asian_width(char) in "WF" else 1 for char in text if char.isalnum()
    )
    return 300 + 100 * max(1, letters)


def plausible_end_ms(word: Word) -> int:
    """The latest plausible end of a word: an aligner stretches the word before a silence."""
    return min(word.span.end_ms, word.span.start_ms + plausible_ms(word.text))


def spoken_span(word: Word, speech: SpeechRegions) -> Span:
    """The word's span, shortened to at most `plausible_ms`.

    The end with more speech in it stays. If both have as much, the start stays, since aligners mostly
    stretch the last word before a silence.

    Args:
        word: The word, with the time its aligner gave it.
        speech: Where its speaker may be speaking.
    """
    longest = plausible_ms(word.text)
    if word.span.duration_ms <= longest:
        return word.span
    head = Span(start_ms=word.span.start_ms, end_ms=word.span.start_ms + longest)
    tail = Span(start_ms=word.span.end_ms - longest, end_ms=word.span.end_ms)
    return tail if speech.overlap_ms(tail) > speech.overlap_ms(head) else head


def attribute(words: Sequence[Word], diarization: Diarization) -> tuple[AttributedWord, ...]:
    """Find the speaker of each word.

    A word gets a speaker whenever a turn, regular or exclusive, is within `REACH_MS` of its span.

    >>> from sensory_pipeline.core.diarization import Turn
    >>> turns = (Turn(span=Span(start_ms=0, end_ms=900), speaker="SPEAKER_00"),)
    >>> hello = Word(text="hello", span=Span(start_ms=700, end_ms=1100), probability=1.0)
    >>> [word] = attribute([hello], Diarization(turns=turns, exclusive=turns))
    >>> word.speaker, word.overlap_share
    ('SPEAKER_00', 0.5)

    Args:
        words: In order of time.
        diarization: The turns of the same recording.

    Returns:
        The words in the same order, each with its speaker and the evidence.
    """
    voices = {name: _Voice.of(name, diarization) for name in _speakers(diarization)}
    speech = SpeechRegions(turn.span for turn in diarization.exclusive)
    at_once = overlapped_speech(voice.regular for voice in voices.values())
    spans = [spoken_span(word, speech) for word in words]
    evidence = [_evidence(word, spoken, voices) for word, spoken in zip(words, spans, strict=True)]
    speakers = _cheapest(evidence, _prices(words, spans))
    return tuple(
        AttributedWord(
            word=word,
            spoken=spoken,
            speaker=speaker,
            overlap_share=voices[speaker].share(spoken) if speaker is not None else 0.0,
            runner_up=min((name for name in against if name != speaker), key=against.__getitem__, default=None),
            overlapped=at_once.overlap_ms(spoken) > 0,
        )
        for word, spoken, against, speaker in zip(words, spans, evidence, speakers, strict=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Voice:
    """One speaker's turns: exclusive, regular, and both together."""

    exclusive: SpeechRegions
    regular: SpeechRegions
    either: SpeechRegions

    @classmethod
    def of(cls, speaker: str, diarization: Diarization) -> _Voice:
        exclusive, regular = (
            [turn.span for turn in view if turn.speaker == speaker]
            for view in (diarization.exclusive, diarization.turns)
        )
        return cls(
            exclusive=SpeechRegions(exclusive),
            regular=SpeechRegions(regular),
            either=SpeechRegions((*exclusive, *regular)),
        )

    def within(self, span: Span) -> tuple[float, float]:
        """Milliseconds and turns of this speaker inside the span: the mean of both views; a short turn in part."""
        exclusive_ms, exclusive_turns = self.exclusive.within(span)
        regular_ms, regular_turns = self.regular.within(span)
        time_ms, turns = (exclusive_ms + regular_ms) / 2, (exclusive_turns + regular_turns) / 2
        return time_ms, min(turns, time_ms / SHORTEST_TURN_MS)

    def share(self, span: Span) -> float:
        """The part of the span that the exclusive turns cover, 0 to 1; for an empty span, 0 or 1."""
        if span.duration_ms:
            return self.exclusive.overlap_ms(span) / span.duration_ms
        return float(self.exclusive.gap_ms(span) == 0)


def _speakers(diarization: Diarization) -> list[str]:
    return sorted({turn.speaker for turn in (*diarization.turns, *diarization.exclusive)})


def _evidence(word: Word, spoken: Span, voices: dict[str, _Voice]) -> _Evidence:
    near = {name: voice for name, voice in voices.items() if voice.either.gap_ms(word.span) <= REACH_MS}
    if not near:
        return {None: 0.0}
    within = {name: voice.within(spoken) for name, voice in near.items()}
    turns = sum(own_turns for _, own_turns in within.values())
    return {
        name: spoken.duration_ms - own_ms + near[name].either.gap_ms(spoken) + TURN_MS * (turns - own_turns)
        for name, (own_ms, own_turns) in within.items()
    }


def _prices(words: Sequence[Word], spans: Sequence[Span]) -> list[float]:
    """The cost of a change of speaker before each word; zero before the first."""
    ends = [ends_sentence(before.text, after.text) for before, after in pairwise(words)]
    mid_sentence = MID_SENTENCE_MS if any(ends) else 0
    pauses = (max(0, after.start_ms - before.end_ms) for before, after in pairwise(spans))
    changes = [
        max(0, NO_PAUSE_MS - pause) + (0 if end else max(0, mid_sentence - max(0, pause - HESITATION_MS)))
        for end, pause in zip(ends, pauses, strict=True)
    ]
    return [0.0, *changes][: len(words)]


def _cheapest(evidence: Sequence[_Evidence], prices: Sequence[float]) -> list[str | None]:
    """The sequence of speakers that the evidence contradicts the least."""
    totals: dict[str | None, float] = {None: 0.0}
    origins: list[dict[str | None, str | None]] = []
    for against, price in zip(evidence, prices, strict=True):
        cheapest = min(totals, key=totals.__getitem__)
        change = totals[cheapest] + price
        origins.append({name: name if totals.get(name, inf) <= change else cheapest for name in against})
        totals = {name: min(totals.get(name, inf), change) + cost for name, cost in against.items()}
    speaker = min(totals, key=totals.__getitem__)
    chosen: list[str | None] = []
    for origin in reversed(origins):
        chosen.append(speaker)
        speaker = origin[speaker]
    return chosen[::-1]
