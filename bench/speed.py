"""How fast recordings are transcribed with real weights, beside faster-whisper; repeated decoding included.

    python -m bench.speed FOLDER --json bench/results/speed.json

FOLDER holds labelled recordings (labelled.py). The product has its default settings; faster-whisper uses its VAD and
one file at a time. Both use Whisper base in int8, beam 5, the same number of threads, and return word times.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.comparison import ROUNDS, Comparison, Limit, benchmark, save
from bench.labelled import read_labelled
from bench.transcription import BATCH, THREADS, Selection, our_words, their_words
from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.process_request import TranscriptionSettings
from sensory_pipeline.core.spans import Span
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.catalogue.store import HOME
from sensory_pipeline.engines.devices import CPU, ComputeType
from sensory_pipeline.engines.stt.whisper import WhisperTranscriber

SEQUENTIAL, BATCHED, OURS = "faster-whisper, VAD", "faster-whisper, batched", "ours"
_PACKAGES = ("faster-whisper", "ctranslate2", "onnxruntime", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition(Selection):
    """A set of recordings with its thresholds.

    Attributes:
        recordings: Number of recordings.
        batched: Minimum speed relative to faster-whisper's batches.
        sequential: Minimum speed relative to faster-whisper without batches.
    """

    recordings: int
    batched: float
    sequential: float


CONDITIONS = (
    Condition(shortest_s=2, longest_s=15, recordings=16, language="auto", batched=2.0, sequential=2.3),
    Condition(shortest_s=2, longest_s=15, recordings=16, language="en", batched=1.6, sequential=1.0),
    Condition(shortest_s=20, longest_s=90, recordings=13, language="auto", batched=1.6, sequential=2.3),
)


def pieces(folder: Path, condition: Condition) -> list[Waveform]:
    """Return English recordings of these lengths from all sets in turn; longer ones are cut to 30 s, 45 s and so on."""
    found: list[Waveform] = []
    lengths = [30, 45, 60, 75, 90]
    for recording in (recording for recording in read_labelled(folder) if recording.language == "en"):
        if recording.duration_s < condition.shortest_s:
            continue
        pcm = decode(recording.file, max_duration_s=3600).pcm
        if recording.duration_s > condition.longest_s:
            if condition.longest_s < lengths[0]:
                continue
            pcm = pcm.cut(Span(start_ms=0, end_ms=1000 * lengths[len(found) % len(lengths)]))
        found.append(pcm)
    step = max(1, len(found) // condition.recordings)
    return found[::step][: condition.recordings]


def comparisons(folder: Path, rounds: int) -> Iterator[Comparison]:
    """Yield one comparison for each condition."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    weights = HOME.verified("whisper-base")
    model = WhisperModel(str(weights), device="cpu", compute_type="int8", cpu_threads=THREADS)
    with closing(ModelCache(CacheSettings(ttl_s=None))) as cache:
        engine = WhisperTranscriber(
            str(weights), device=CPU, compute_type=ComputeType.INT8, cache=cache, cpu_threads=THREADS
        )
        for condition in CONDITIONS:
            pcms = pieces(folder, condition)
            theirs: dict[str, Any] = {BATCHED: BatchedInferencePipeline(model), SEQUENTIAL: model}
            yield benchmark(
                f"transcription, {len(pcms)} recordings of {condition}",
                sum(pcm.duration_ms for pcm in pcms) / 1000,
                {
                    BATCHED: partial(their_words, theirs[BATCHED], pcms, condition.language, batch_size=BATCH),
                    SEQUENTIAL: partial(their_words, theirs[SEQUENTIAL], pcms, condition.language),
                    OURS: partial(our_words, engine, pcms, TranscriptionSettings(language=condition.language)),
                },
                rounds,
                threads=THREADS,
                limits=[
                    Limit(faster=OURS, slower=BATCHED, at_least=condition.batched),
                    Limit(faster=OURS, slower=SEQUENTIAL, at_least=condition.sequential),
                ],
                facts={
                    "words": {
                        OURS: our_words(engine, pcms, TranscriptionSettings(language=condition.language)),
                        BATCHED: their_words(theirs[BATCHED], pcms, condition.language, batch_size=BATCH),
                        SEQUENTIAL: their_words(theirs[SEQUENTIAL], pcms, condition.language),
                    }
                },
            )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="labelled recordings")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    console = Console(width=140)
    found = []
    for one in comparisons(arguments.folder, arguments.rounds):
        found.append(one)
        one.show(console)
        console.print(f"words: {one.facts['words']}")
        if arguments.json:
            save(arguments.json, found, _PACKAGES, whisper="base")
    sys.exit(not all(verdict.met for one in found for verdict in one.verdicts()))


if __name__ == "__main__":
    main()
