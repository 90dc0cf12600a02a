"""What a transcriber and a diarizer make of a conversation, with the typical faults of real ones.

`transcribe` and `diarize` take the faults to apply; sizes are milliseconds, and none comes from the rule under test.
Even without faults, a transcriber writes a single stream of words, and the exclusive view of a diarizer must pick one
of several speakers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random
from typing import Literal, get_args

from bench.conversations import Spoken
from sensory_pipeline.core.diarization import Diarization, Turn
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.core.transcripts import Word

Fault = Literal[
    "word_times",
    "stretched_words",
    "slipped_words",
    "punctuation",
    "turn_edges",
    "missed_backchannels",
    "late_turn_starts",
    "bridged_gaps",
]
FAULTS: tuple[Fault, ...] = get_args(Fault)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A word as it was transcribed, with the speaker who really said it."""

    word: Word
    speaker: str


def transcribe(random: Random, spoken: list[Spoken], *, faults: Collection[Fault], punctuated: bool) -> list[Heard]:
    """Return what a transcriber writes: a single stream, so of two words said at once the softer one is lost.

    Args:
        random: Source of randomness.
        spoken: The conversation.
        faults: Faults to apply.
        punctuated: Whether the transcript has punctuation.
    """
    audible: list[Spoken] = []
    for word in spoken:
        if audible and _at_once(word.span, audible[-1].span):
            if word.level_db < audible[-1].level_db:
                continue
            audible.pop()
        audible.append(word)
    spans = [word.span for word in audible]
    if "slipped_words" in faults:
        spans = _slipped(random, spans)
    if "stretched_words" in faults:
        spans = _stretched(random, spans)
    if "word_times" in faults:
        spans = [_jittered(random, span, 60) for span in spans]
    texts = [word.text for word in audible]
    if punctuated:
        texts = _punctuated(random, audible, flawed="punctuation" in faults)
    heard: list[Heard] = []
    earliest = 0
    for word, text, span in zip(audible, texts, spans, strict=True):
        earliest = max(earliest, span.start_ms)
        span = Span(start_ms=earliest, end_ms=max(earliest + 10, span.end_ms))
        heard.append(Heard(word=Word(text=text, span=span, probability=0.9), speaker=word.speaker))
    return heard


def _at_once(one: Span, other: Span) -> bool:
    return 2 * one.overlap_ms(other) > min(one.duration_ms, other.duration_ms)


def _jittered(random: Random, span: Span, deviation_ms: float) -> Span:
    start = max(0, span.start_ms + round(random.gauss(0, deviation_ms)))
    end = span.end_ms + round(random.gauss(0, deviation_ms))
    return Span(start_ms=start, end_ms=max(start + 20, end))


def _slipped(random: Random, spans: list[Span]) -> list[Span]:
    """Move one in ten words beside a pause of 0.4 s or more into the pause."""
    slipped = list(spans)
    for i, (left, right) in enumerate(pairwise(spans)):
        pause = right.start_ms - left.end_ms
        if pause < 400 or random.random() >= 0.2:
            continue
        if random.random() < 0.5:
            slipped[i] = _moved(left, round(pause * random.random()))
        else:
            slipped[i + 1] = _moved(right, -round(pause * random.random()))
    return slipped


def _moved(span: Span, by_ms: int) -> Span:
    return Span(start_ms=max(0, span.start_ms + by_ms), end_ms=span.end_ms + by_ms)


def _stretched(random: Random, spans: list[Span]) -> list[Span]:
    """Extend one in five words before a pause of 0.3 s or more to its end, and one in twenty after it to its start."""
    stretched = list(spans)
    for i, (left, right) in enumerate(pairwise(spans)):
        if right.start_ms - left.end_ms < 300:
            continue
        chance = random.random()
        if chance < 0.2:
            stretched[i] = replace(stretched[i], end_ms=right.start_ms)
        elif chance < 0.25:
            stretched[i + 1] = replace(right, start_ms=max(left.end_ms, stretched[i].end_ms))
    return stretched


def _punctuated(random: Random, spoken: list[Spoken], *, flawed: bool) -> list[str]:
    """Add punctuation and capitals; if flawed, one in ten full stops is missing and one in ten hesitations gets one."""
    texts: list[str] = []
    capital = True
    for i, word in enumerate(spoken):
        stop = word.ends_sentence
        if flawed:
            follows = spoken[i + 1].span.start_ms if i + 1 < len(spoken) else word.span.end_ms
            if stop or follows - word.span.end_ms > 100:
                stop ^= random.random() < 0.1
        mark = random.choice(".....?!") if stop else ""
        texts.append((word.text.capitalize() if capital else word.text) + mark)
        capital = stop
    return texts


def diarize(random: Random, spoken: list[Spoken], *, faults: Collection[Fault]) -> Diarization:
    """Return what a diarizer finds; where several people speak, its exclusive view picks the one that seems loudest."""
    levels = {word.speaker: word.level_db for word in spoken if not word.backchannel}
    if "missed_backchannels" in faults:
        spoken = [word for word in spoken if not (word.backchannel and random.random() < 0.4)]
    turns = _joined(spoken, lambda gap_ms: gap_ms < 150)
    if "late_turn_starts" in faults:
        turns = _late(random, turns)
    if "turn_edges" in faults:
        turns = [replace(turn, span=_jittered(random, turn.span, 150)) for turn in turns]
    if "bridged_gaps" in faults:
        turns = _joined(turns, lambda gap_ms: gap_ms < 800 and random.random() < 0.5)
    turns.sort(key=lambda turn: turn.span)
    return Diarization(turns=tuple(turns), exclusive=tuple(_exclusive(random, turns, levels)))


def _joined(pieces: Sequence[Spoken | Turn], joins: Callable[[int], bool]) -> list[Turn]:
    """Return the turns of each speaker, closing the gaps that `joins` accepts, in order of starts."""
    turns: list[Turn] = []
    for speaker in sorted({piece.speaker for piece in pieces}):
        spans = sorted(piece.span for piece in pieces if piece.speaker == speaker)
        merged = spans[:1]
        for span in spans[1:]:
            if span.start_ms <= merged[-1].end_ms or joins(span.start_ms - merged[-1].end_ms):
                merged[-1] = cover((merged[-1], span))
            else:
                merged.append(span)
        turns += [Turn(span=span, speaker=speaker) for span in merged]
    return sorted(turns, key=lambda turn: turn.span)


def _late(random: Random, turns: list[Turn]) -> list[Turn]:
    """Delay one in six changes of speaker by 0.15 to 0.8 s."""
    late = list(turns)
    for i in range(1, len(late)):
        before, turn = late[i - 1], late[i]
        gap = turn.span.start_ms - before.span.end_ms
        if before.speaker == turn.speaker or not 0 <= gap < 1_000 or random.random() >= 1 / 6:
            continue
        start = min(turn.span.start_ms + random.randint(150, 800), turn.span.end_ms - 50)
        if start > turn.span.start_ms:
            late[i - 1] = replace(before, span=replace(before.span, end_ms=start))
            late[i] = replace(turn, span=replace(turn.span, start_ms=start))
    return late


def _exclusive(random: Random, turns: list[Turn], levels: dict[str, float]) -> Iterator[Turn]:
    """Choose one speaker, with an error of 4 dB, for each stretch in which the same speakers are active."""
    edges = sorted({edge for turn in turns for edge in (turn.span.start_ms, turn.span.end_ms)})
    last: Turn | None = None
    for start, end in pairwise(edges):
        active = [t.speaker for t in turns if t.span.start_ms <= start and t.span.end_ms >= end]
        if not active:
            continue
        speaker = max(active, key=lambda name: levels.get(name, 0.0) + random.gauss(0, 4))
        if last and last.speaker == speaker and last.span.end_ms == start:
            last = replace(last, span=replace(last.span, end_ms=end))
            continue
        if last:
            yield last
        last = Turn(span=Span(start_ms=start, end_ms=end), speaker=speaker)
    if last:
        yield last
