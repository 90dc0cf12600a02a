"""The engines with models beside the libraries they stand on: the same models, the same recordings, one process.

    python -m scripts.random_models pyannote gigaam --out models
    python -m bench.engines diarization --models models --json bench/results/diarization.json
    python -m bench.engines emotion --models models --json bench/results/emotion.json
    python -m bench.engines emotion-monologue --models models --json bench/results/emotion-monologue.json

Loading is not counted. The models have random weights in the published shapes: what they say means
nothing, what they cost is that of the published ones. One thread, so that seconds of the processor mean
the same for all.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from bench.pairs import ROUNDS, Race, race, save
from bench.truth import Truth, read_truths
from sensory_pipeline.audio.decode import decode
from sensory_pipeline.audio.pcm import SAMPLE_RATE, Pcm
from sensory_pipeline.core.emotions import EmotionWindow
from sensory_pipeline.core.requests import DiarizationSettings, EmotionLevel
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.transcripts import Word
from sensory_pipeline.core.utterances import AttributedWord, utterances
from sensory_pipeline.core.windows import emotion_windows, utterance_windows
from sensory_pipeline.engines.base import ClassifyJob, DiarizeJob
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.diarization.pyannote_audio import PyannoteDiarizer
from sensory_pipeline.engines.emotion.gigaam import GigaamClassifier

STOCK_BATCH = 32
FAST_STEP = 0.25
LEAST_S = 2.5
"""The shortest sound that GigaAM-Emo should be asked about."""
SAMPLES = Path("samples")


def diarization(models: Path, rounds: int) -> tuple[list[Race], dict[str, object]]:
    """The stock pipeline at batch size 32, the engine, and the engine with a wider step."""
    pcm, _ = _sample("grocery_shopping.m4a")
    stock = stock_pyannote(models / "pyannote")
    with closing(ModelCache(CacheSettings(ttl_s=None))) as cache:
        ours, fast = (
            partial(_turns, PyannoteDiarizer(str(models / "pyannote"), cache=cache, window_step=step))
            for step in (None, FAST_STEP)
        )
        expected = stock_turns(stock, pcm)
        identical = expected == ours(pcm)
        fast(pcm)
        contenders: dict[str, Callable[[], object]] = {
            f"pyannote.audio, batch size {STOCK_BATCH}": partial(stock_turns, stock, pcm),
            "engine": partial(ours, pcm),
            f"engine, PYANNOTE_WINDOW_STEP={FAST_STEP}": partial(fast, pcm),
        }
        found = race("diarization", pcm.duration_ms / 1000, contenders, rounds)
    return [found], {"identical_turns": identical, "turns": len(expected)}


def emotion(
    models: Path, rounds: int, *, sample: str, length_ms: int, alone_too: bool
) -> tuple[list[Race], dict[str, object]]:
    """Words one by one through the network beside the engine on word and on file level.

    What the engine says of a word, a call hears only with the word's turn around it; alone_too: calls
    that hear less are timed too.
    """
    from sensory_pipeline.engines.emotion.checkpoint import read_checkpoint
    from sensory_pipeline.engines.emotion.conformer import EmotionNetwork

    whole_pcm, truth = _sample(sample)
    pcm = whole_pcm.cut(Span(start_ms=0, end_ms=length_ms))
    said = utterances([word for word in _words(truth) if word.spoken.end_ms <= length_ms])
    words = emotion_windows(EmotionLevel.WORD, said, pcm.span)
    whole = emotion_windows(EmotionLevel.FILE, said, pcm.span)
    network = EmotionNetwork.restored(read_checkpoint(models / "gigaam" / "emo.ckpt"), labels=4)

    def ask(hears: Callable[[EmotionWindow], Span]) -> None:
        for window in words:
            network.frame_logits([pcm.cut(hears(window)).mono()])

    with closing(ModelCache(CacheSettings(ttl_s=None))) as cache:
        engine = GigaamClassifier(str(models / "gigaam" / "emo.ckpt"), cache=cache)

        def classify(windows: Sequence[EmotionWindow]) -> None:
            list(engine.classify([ClassifyJob(key="a", pcm=pcm, windows=tuple(windows), language=None)]))

        classify(whole)
        contenders: dict[str, Callable[[], object]] = {
            "one call a word: it and the turn around it": partial(ask, lambda window: window.turn)
        }
        if alone_too:
            contenders |= {
                f"one call a word: it and {LEAST_S} s around it": partial(ask, partial(_around, recording=pcm.span)),
                "one call a word: it alone": partial(ask, lambda window: window.span),
            }
        contenders |= {
            "engine, word level": partial(classify, words + utterance_windows(said)),
            "engine, file level": partial(classify, whole),
        }
        found = race(f"emotion of every word, {truth.condition}", pcm.duration_ms / 1000, contenders, rounds)
    return [found], {
        "words": len(words),
        "turns": len({window.turn for window in words}),
        "word_level_over_file_level_cpu": found.ratio("engine, word level", "engine, file level", cpu=True),
    }


BENCHES: dict[str, tuple[Callable[[Path, int], tuple[list[Race], dict[str, object]]], tuple[str, ...]]] = {
    "diarization": (diarization, ("pyannote.audio", "torch", "numpy")),
    "emotion": (
        partial(emotion, sample="weekend_trip.mp3", length_ms=10_000, alone_too=True),
        ("torch", "numpy"),
    ),
    "emotion-monologue": (
        partial(emotion, sample="morning_walk.m4a", length_ms=6_000, alone_too=False),
        ("torch", "numpy"),
    ),
}
"""Asking word by word takes minutes a round, hence only the first seconds of a sample."""


def _sample(name: str) -> tuple[Pcm, Truth]:
    truths = {truth.file: truth for truth in read_truths(SAMPLES)}
    return decode(SAMPLES / name, max_duration_s=60).pcm, truths[name]


def stock_pyannote(folder: Path) -> Any:
    """As pyannote's documentation has it, with the batch sizes it advises."""
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"  # noqa: TID251
    from pyannote.audio import Pipeline

    pipeline: Any = Pipeline.from_pretrained(str(folder))
    pipeline.segmentation_batch_size = pipeline.embedding_batch_size = STOCK_BATCH
    return pipeline


Turns = list[tuple[int, int, int]]
"""(start, end, speaker), ms, speakers numbered as they come up."""


def stock_turns(pipeline: Any, pcm: Pcm, **options: Any) -> Turns:
    """Of the stock pipeline, in order of time."""
    import torch

    sound = {"waveform": torch.from_numpy(pcm.mono())[None], "sample_rate": SAMPLE_RATE}
    tracks = pipeline(sound, **options).speaker_diarization.itertracks(yield_label=True)
    spans = [(Span.from_seconds(track.start, track.end).clip(pcm.span), speaker) for track, _, speaker in tracks]
    return _numbered([(span.start_ms, span.end_ms, speaker) for span, speaker in spans if span.duration_ms])


def _turns(engine: PyannoteDiarizer, pcm: Pcm) -> Turns:
    ((_, found),) = engine.diarize([DiarizeJob(key="a", pcm=pcm, settings=DiarizationSettings())])
    if isinstance(found, Exception):
        raise found
    return _numbered([(turn.span.start_ms, turn.span.end_ms, turn.speaker) for turn in found.turns])


def _numbered(turns: list[tuple[int, int, str]]) -> Turns:
    names = list(dict.fromkeys(speaker for *_, speaker in sorted(turns)))
    return [(start, end, names.index(speaker)) for start, end, speaker in sorted(turns)]


def _words(truth: Truth) -> list[AttributedWord]:
    """As if a transcriber had heard them all and attribution made no mistake."""
    return [
        spoken(word.text, Span.from_seconds(word.start_s, word.end_s), turn.speaker)
        for turn in truth.turns
        for word in turn.words
    ]


def spoken(text: str, span: Span, speaker: str) -> AttributedWord:
    """A word of which all is known."""
    return AttributedWord(
        word=Word(text=text, span=span, probability=1.0),
        spoken=span,
        speaker=speaker,
        overlap_share=1.0,
        runner_up=None,
        overlapped=False,
    )


def _around(window: EmotionWindow, recording: Span) -> Span:
    """LEAST_S with the word in the middle, as far as the recording goes."""
    middle = (window.span.start_ms + window.span.end_ms) // 2
    start = int(np.clip(middle - LEAST_S * 500, 0, recording.end_ms - LEAST_S * 1000))
    return Span(start_ms=start, end_ms=start + round(LEAST_S * 1000))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=BENCHES)
    parser.add_argument("--models", type=Path, required=True, help="folder that scripts.random_models wrote to")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    bench, packages = BENCHES[arguments.engine]
    races, facts = bench(arguments.models, arguments.rounds)
    console = Console()
    for found in races:
        console.print(found.table())
    console.print(facts)
    if arguments.json:
        save(arguments.json, races, packages, **facts)


if __name__ == "__main__":
    main()
