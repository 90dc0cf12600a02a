"""Our rule for who said a word against the two common ones, on simulated conversations with known speakers.

    python -m bench.attribution --seeds 0 1 2 --json attribution.json

- `overlap` (as in WhisperX): for each word the speaker with the largest summed overlap; none if no turn overlaps.
- `majority` (as in whisper-diarization): the turn at the word's start, or the nearest one; then the most frequent
  speaker of each sentence of at most 50 words takes the whole sentence. Sentences end at full stops and the like or,
  in a variant for transcripts without punctuation, at pauses of 0.6 s.
- `options`: the same two with their optional settings: gaps filled from the turn with the nearest middle, the word's
  middle as anchor. They are shown, but the ratio is to the two rules above.

Each rule runs in all its variants on the regular and on the exclusive turns, and the best variant of each row counts,
chosen with the truth known. Conversations have two to four speakers; every second transcript has no punctuation.
`clean` and the single faults are without overlapping speech, `all` has everything at once. No rule can find the speaker
of a word that the diarizer misses (missed_backchannels).
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from random import Random

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.conversations import converse
from bench.faults import FAULTS, Fault, Heard, diarize, transcribe
from bench.json_report import write_json
from sensory_pipeline.core.attribution import attribute
from sensory_pipeline.core.diarization import Diarization, Turn
from sensory_pipeline.core.transcripts import Word

CONVERSATIONS = 24
"""Conversations for each seed and condition."""

Speakers = list[str | None]
Rule = Callable[[Sequence[Word], Diarization], Speakers]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What goes wrong in the conversations of a row.

    Attributes:
        name: Name of the condition.
        faults: Faults of the transcriber and the diarizer.
        overlap: Whether people talk at the same time.
    """

    name: str
    faults: Collection[Fault]
    overlap: bool


CONDITIONS = (
    Condition(name="clean", faults=(), overlap=False),
    *(Condition(name=fault, faults=(fault,), overlap=False) for fault in FAULTS),
    Condition(name="overlaps", faults=(), overlap=True),
    Condition(name="all", faults=FAULTS, overlap=True),
)


class _Turns:
    """Turns as arrays, for rules that use all of them for every word."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self.starts = np.array([turn.span.start_ms for turn in turns])
        self.ends = np.array([turn.span.end_ms for turn in turns])
        self.speakers = [turn.speaker for turn in turns]


def ours(words: Sequence[Word], diarization: Diarization) -> Speakers:
    """Our rule."""
    return [word.speaker for word in attribute(words, diarization)]


def overlap(words: Sequence[Word], diarization: Diarization, *, exclusive: bool, nearest: bool) -> Speakers:
    """The rule of WhisperX.

    Args:
        words: The words.
        diarization: The turns.
        exclusive: Use the exclusive turns.
        nearest: Give a word without overlap to the nearest turn.
    """
    turns = _Turns(diarization.exclusive if exclusive else diarization.turns)
    speakers: Speakers = []
    for word in words:
        shared = np.minimum(turns.ends, word.span.end_ms) - np.maximum(turns.starts, word.span.start_ms)
        totals: Counter[str] = Counter()
        for i in np.flatnonzero(shared > 0):
            totals[turns.speakers[i]] += int(shared[i])
        if totals:
            speakers.append(totals.most_common(1)[0][0])
        elif nearest:
            middles = turns.starts + turns.ends - word.span.start_ms - word.span.end_ms
            speakers.append(turns.speakers[np.abs(middles).argmin()])
        else:
            speakers.append(None)
    return speakers


def majority(
    words: Sequence[Word], diarization: Diarization, *, exclusive: bool, middle: bool, pauses: bool
) -> Speakers:
    """The rule of whisper-diarization.

    Args:
        words: The words.
        diarization: The turns.
        exclusive: Use the exclusive turns.
        middle: Use the middle of a word instead of its start.
        pauses: End sentences at pauses too.
    """
    turns = _Turns(diarization.exclusive if exclusive else diarization.turns)
    speakers: Speakers = []
    for word in words:
        anchor = (word.span.start_ms + word.span.end_ms) // 2 if middle else word.span.start_ms
        distance = np.maximum(0, np.maximum(turns.starts - anchor, anchor - turns.ends))
        speakers.append(turns.speakers[distance.argmin()])
    for first, last in _sentences(words, pauses=pauses):
        if last - first <= 50:
            winner = Counter(speakers[first:last]).most_common(1)[0][0]
            speakers[first:last] = [winner] * (last - first)
    return speakers


def _sentences(words: Sequence[Word], *, pauses: bool) -> Iterator[tuple[int, int]]:
    first = 0
    for i, word in enumerate(words, start=1):
        ends = word.text[-1] in ".?!"
        if pauses and i < len(words):
            ends |= words[i].span.start_ms - word.span.end_ms >= 600
        if ends or i == len(words):
            yield first, i
            first = i


_VIEWS = (False, True)
RULES: dict[str, list[Rule]] = {
    "ours": [ours],
    "overlap": [partial(overlap, exclusive=exclusive, nearest=False) for exclusive in _VIEWS],
    "majority": [
        partial(majority, exclusive=exclusive, middle=False, pauses=pauses)
        for exclusive, pauses in product(_VIEWS, (False, True))
    ],
    "options": [
        *(partial(overlap, exclusive=exclusive, nearest=True) for exclusive in _VIEWS),
        *(
            partial(majority, exclusive=exclusive, middle=True, pauses=pauses)
            for exclusive, pauses in product(_VIEWS, (False, True))
        ),
    ],
}
IN_USE = ("overlap", "majority")


def errors(answer: Speakers, heard: Sequence[Heard]) -> int:
    """Count the words with the wrong speaker, or none."""
    return sum(speaker != word.speaker for speaker, word in zip(answer, heard, strict=True))


def deserted(answer: Speakers, words: Sequence[Word], diarization: Diarization) -> int:
    """Count the words without a speaker although somebody speaks within 0.5 s."""
    return sum(
        speaker is None and any(turn.span.gap_ms(word.span) <= 500 for turn in diarization.turns)
        for speaker, word in zip(answer, words, strict=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The figures of one condition.

    Attributes:
        seed: Seed of the conversations.
        condition: Name of the condition.
        transcripts: Which transcripts.
        words: Number of words.
        errors: Wrong or missing speakers of each rule, in per cent of the words.
        deserted: Words without a speaker by our rule, although somebody speaks within 0.5 s.
    """

    seed: int
    condition: str
    transcripts: str
    words: int
    errors: dict[str, float]
    deserted: int

    @property
    def ratio(self) -> float | None:
        """Our errors divided by those of the better of the two common rules; None if that makes none."""
        better = min(self.errors[name] for name in IN_USE)
        return self.errors["ours"] / better if better else None


def measure(seed: int, condition: Condition, *, conversations: int = CONVERSATIONS) -> Iterator[Row]:
    """Yield a row for transcripts with punctuation, one for those without, and one for both."""
    counts = {True: Counter[str](), False: Counter[str]()}
    for index in range(conversations):
        punctuated = index % 2 == 0
        count = counts[punctuated]
        spoken = converse(Random(f"{seed} {index}"), speakers=2 + index // 2 % 3, overlap=condition.overlap)
        random = Random(f"{seed} {index} {condition.name}")
        heard = transcribe(random, spoken, faults=condition.faults, punctuated=punctuated)
        diarization = diarize(random, spoken, faults=condition.faults)
        words = [word.word for word in heard]
        count["words"] += len(words)
        count["deserted"] += deserted(ours(words, diarization), words, diarization)
        for name, variants in RULES.items():
            for number, rule in enumerate(variants):
                count[f"{name} {number}"] += errors(rule(words, diarization), heard)
    parts = {"punctuated": counts[True], "unpunctuated": counts[False], "both": counts[True] + counts[False]}
    for transcripts, count in parts.items():
        yield Row(
            seed=seed,
            condition=condition.name,
            transcripts=transcripts,
            words=count["words"],
            errors={
                name: 100 * min(count[f"{name} {i}"] for i in range(len(variants))) / count["words"]
                for name, variants in RULES.items()
            },
            deserted=count["deserted"],
        )


def table(rows: Sequence[Row]) -> Table:
    """Return the rows as a table."""
    result = Table("seed", "condition", "transcripts", title="wrong or missing speakers, % of words")
    for name in ("words", *RULES, "ratio", "deserted"):
        result.add_column(name, justify="right")
    for row in rows:
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        figures = [f"{row.errors[name]:.2f}" for name in RULES]
        result.add_row(
            str(row.seed), row.condition, row.transcripts, str(row.words), *figures, ratio, str(row.deserted)
        )
    return result


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    rows = [row for seed in arguments.seeds for condition in CONDITIONS for row in measure(seed, condition)]
    Console(width=110).print(table(rows))
    if arguments.json:
        figures = [asdict(row) | {"ratio": row.ratio} for row in rows]
        write_json(arguments.json, figures)


if __name__ == "__main__":
    main()
