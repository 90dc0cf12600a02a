"""Our engine with GigaAM-Emo's network, beside calls of that network for one word at a time.

The engine's emotion of a word depends on the word's turn, so a single call must hear the turn too; the gain is the
number of words per turn. Conversations are simulated (bench/conversations.py): nine words per turn, and the average
word is in a turn of eighteen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from random import Random

import numpy as np

from bench.comparison import Comparison, Limit, benchmark
from bench.conversations import converse
from bench.models import Models
from bench.recordings import sample, speech
from bench.truth import Truth
from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.emotion_windows import emotion_windows, utterance_windows
from sensory_pipeline.core.emotions import EmotionWindow
from sensory_pipeline.core.process_request import EmotionLevel
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.transcripts import Word
from sensory_pipeline.core.utterances import AttributedWord, utterances
from sensory_pipeline.engines.base import ClassifyJob
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.emotion.gigaam import GigaamClassifier

THREADS = 1
LEAST_S = 2.5
"""Shortest sound in seconds that GigaAM-Emo should be given."""
SEED = 4
"""Seed of the conversation.

It was chosen among twelve before anything was timed, because its turns have about average length; with shorter turns
there is less to gain.
"""
WITH_TURN = "one call a word: it and the turn around it"
WITH_LEAST = f"one call a word: it and {LEAST_S} s around it"
ALONE = "one call a word: it alone"
WORD_LEVEL, FILE_LEVEL = "engine, word level", "engine, file level"
CHEAP = Limit(faster=WORD_LEVEL, slower=FILE_LEVEL, at_least=1 / 1.3)
"""Word level takes at most 1.3 times as long as file level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A recording and its words.

    Attributes:
        name: What is in it.
        pcm: Its sound.
        words: Its words.
    """

    name: str
    pcm: Waveform
    words: Sequence[AttributedWord]


def comparisons(models: Models, rounds: int) -> Iterator[Comparison]:
    """Compare on a conversation and on the beginnings of two samples; longer ones would take minutes per round."""
    import torch

    torch.set_num_threads(THREADS)
    fast = Limit(faster=WORD_LEVEL, slower=WITH_TURN, at_least=10)
    yield _comparison(models, rounds, _conversation(length_ms=15_000), (WITH_TURN,), (fast, CHEAP))
    yield _comparison(
        models, rounds, _sample("weekend_trip.mp3", length_ms=10_000), (WITH_TURN, WITH_LEAST, ALONE), (CHEAP,)
    )
    yield _comparison(models, rounds, _sample("morning_walk.m4a", length_ms=6_000), (WITH_TURN,), (CHEAP,))


def _comparison(models: Models, rounds: int, said: Said, calls: Sequence[str], limits: Sequence[Limit]) -> Comparison:
    """Compare calls of the network for one word at a time with the engine on word and on file level.

    Args:
        models: The models.
        rounds: Number of rounds.
        said: The recording.
        calls: What each call hears.
        limits: Thresholds.
    """
    from sensory_pipeline.engines.checkpoint import read_checkpoint
    from sensory_pipeline.engines.emotion.emotion_network import EmotionNetwork

    pcm, spoken_parts = said.pcm, utterances(said.words)
    words = emotion_windows(EmotionLevel.WORD, spoken_parts, pcm.span)
    whole = emotion_windows(EmotionLevel.FILE, spoken_parts, pcm.span)
    turns = {window.turn for window in words}
    network = EmotionNetwork.restored(read_checkpoint(models.gigaam), labels=4)
    heard: dict[str, Callable[[EmotionWindow], Span]] = {
        WITH_TURN: lambda window: window.turn,
        WITH_LEAST: partial(_around, recording=pcm.span),
        ALONE: lambda window: window.span,
    }

    def ask(hears: Callable[[EmotionWindow], Span]) -> None:
        for window in words:
            network.frame_logits([pcm.cut(hears(window)).mono()])

    with closing(ModelCache(CacheSettings(ttl_s=None))) as cache:
        engine = GigaamClassifier(str(models.gigaam), cache=cache)

        def classify(windows: tuple[EmotionWindow, ...]) -> None:
            ((_, answer),) = engine.classify([ClassifyJob(key="a", pcm=pcm, windows=windows, language=None)])
            if isinstance(answer, Exception):
                raise answer

        classify(whole)
        return benchmark(
            f"emotion of every word, {said.name}",
            pcm.duration_ms / 1000,
            {
                **{call: partial(ask, heard[call]) for call in calls},
                WORD_LEVEL: partial(classify, words + utterance_windows(spoken_parts)),
                FILE_LEVEL: partial(classify, whole),
            },
            rounds,
            threads=THREADS,
            limits=limits,
            facts={
                "words": len(words),
                "turns": len(turns),
                "words_in_the_turn_of_a_word": sum(_count(words, turn) ** 2 for turn in turns) / len(words),
            },
        )


def _count(words: Sequence[EmotionWindow], turn: Span) -> int:
    return sum(window.turn == turn for window in words)


def _conversation(length_ms: int) -> Said:
    """Return the times of a conversation, with the sound of samples: what is said does not matter for the cost."""
    talk = converse(Random(SEED), speakers=2, overlap=False)
    return Said(
        name="a conversation",
        pcm=speech().cut(Span(start_ms=0, end_ms=length_ms)),
        words=[spoken(word.text, word.span, word.speaker) for word in talk if word.span.end_ms <= length_ms],
    )


def _sample(name: str, length_ms: int) -> Said:
    pcm, truth = sample(name)
    return Said(
        name=truth.condition,
        pcm=pcm.cut(Span(start_ms=0, end_ms=length_ms)),
        words=[word for word in _words(truth) if word.spoken.end_ms <= length_ms],
    )


def _words(truth: Truth) -> list[AttributedWord]:
    """Return the words as if a transcriber and attribution had made no mistake."""
    return [
        spoken(word.text, Span.from_seconds(word.start_s, word.end_s), turn.speaker)
        for turn in truth.turns
        for word in turn.words
    ]


def spoken(text: str, span: Span, speaker: str) -> AttributedWord:
    """Return a word of which everything is known."""
    return AttributedWord(
        word=Word(text=text, span=span, probability=1.0),
        spoken=span,
        speaker=speaker,
        overlap_share=1.0,
        runner_up=None,
        overlapped=False,
    )


def _around(window: EmotionWindow, recording: Span) -> Span:
    """Return LEAST_S with the word in the middle, within the recording."""
    middle = (window.span.start_ms + window.span.end_ms) // 2
    start = int(np.clip(middle - LEAST_S * 500, 0, recording.end_ms - LEAST_S * 1000))
    return Span(start_ms=start, end_ms=start + round(LEAST_S * 1000))
