"""Simulated conversations: who said which word when.

Turn-taking follows Heldner and Edlund (2010): gaps between speakers have a mean of 0.2 s and a standard deviation of
0.35 s, so many of them are overlaps. A listener says "yes" or the like about every eight seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from sensory_pipeline.core.diarization import label
from sensory_pipeline.core.spans import Span

VOCABULARY = (
    *("i", "you", "the", "a", "to", "it", "that", "and", "of", "in", "we", "is", "was", "do", "but", "so"),
    *("have", "not", "this", "on", "be", "what", "with", "know", "they", "just", "like", "there", "about"),
    *("think", "because", "people", "really", "going", "something", "would", "which", "when", "were"),
    *("from", "little", "before", "always", "another", "morning", "week", "train", "house", "kitchen"),
    *("children", "question", "important", "remember", "probably", "different", "yesterday", "together"),
    *("understand", "government", "opportunity", "information"),
)
REPLIES = ("yes", "yeah", "mm", "right", "okay", "sure", "really")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A word as it was said.

    Attributes:
        text: The word.
        span: Its time.
        speaker: Who said it.
        level_db: Loudness.
        ends_sentence: Whether it is the last of its sentence.
        backchannel: Whether it is a listener's "yes" or the like, not a turn.
    """

    text: str
    span: Span
    speaker: str
    level_db: float
    ends_sentence: bool
    backchannel: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A speaker.

    Attributes:
        name: Label of the speaker.
        pace: Relative length of words; 1 is average.
        level_db: Loudness.
    """

    name: str
    pace: float
    level_db: float


def converse(random: Random, *, speakers: int, overlap: bool, turns: int = 60) -> list[Spoken]:
    """Return the words of a conversation, in order of their starts.

    Args:
        random: Source of randomness.
        speakers: Number of speakers.
        overlap: Whether people interrupt each other.
        turns: Number of turns.
    """
    people = [
        Person(name=label(index), pace=random.uniform(0.8, 1.25), level_db=random.gauss(0, 3))
        for index in range(speakers)
    ]
    spoken: list[Spoken] = []
    now, speaker = 500, people[0]
    for _ in range(turns):
        listeners = [person for person in people if person != speaker]
        turn = list(_turn(random, now, speaker, listeners, overlap=overlap))
        spoken += turn
        offset = round(random.gauss(200, 350))
        if random.random() < 0.1:
            offset += random.randint(1_000, 4_000)
        own = [word.span for word in turn if word.speaker == speaker.name]
        if overlap:
            now = max(own[0].start_ms + 100, own[-1].end_ms + max(offset, -1_000))
        else:
            now = turn[-1].span.end_ms + abs(offset)
        speaker = random.choice(listeners)
    return sorted(spoken, key=lambda word: word.span.start_ms)


def _turn(random: Random, now: int, speaker: Person, listeners: list[Person], *, overlap: bool) -> Iterator[Spoken]:
    """Sentences of one speaker from `now` on, with the listeners' backchannels."""
    for sentence in _sentences(random):
        for position, text in enumerate(sentence):
            last = position == len(sentence) - 1
            word = _say(random, speaker, text, now, ends_sentence=last)
            yield word
            if last:
                pause = round(random.lognormvariate(6.1, 0.5))
            elif random.random() < 0.1:
                pause = random.randint(120, 700)
            else:
                pause = random.randint(0, 20)
            now = word.span.end_ms + pause
            # About one backchannel every eight seconds; half of them wait for a pause.
            if random.random() < (0.15 if last else 0.02):
                waits = not overlap or random.random() < 0.5
                start = word.span.end_ms + (random.randint(60, 250) if waits else random.randint(-200, 200))
                reply = _say(random, random.choice(listeners), random.choice(REPLIES), start, ends_sentence=True)
                yield replace(reply, level_db=reply.level_db - 4, backchannel=True)
                if waits:
                    now = reply.span.end_ms + random.randint(60, 250)


def _sentences(random: Random) -> Iterator[list[str]]:
    """One short answer, or one or more sentences of some eight words."""
    if random.random() < 0.12:
        yield [random.choice(REPLIES)]
        return
    more = True
    while more:
        length = min(30, max(2, round(random.lognormvariate(2.0, 0.6))))
        yield random.choices(VOCABULARY, k=length)
        more = random.random() < 0.5


def _say(random: Random, person: Person, text: str, start_ms: int, *, ends_sentence: bool) -> Spoken:
    duration = (70 + 55 * len(text)) * person.pace * random.lognormvariate(0, 0.25)
    return Spoken(
        text=text,
        span=Span(start_ms=start_ms, end_ms=start_ms + round(duration)),
        speaker=person.name,
        level_db=person.level_db,
        ends_sentence=ends_sentence,
    )
