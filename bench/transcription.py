"""Whisper over a stream of recordings, against a loop of faster-whisper's own batched pipeline over them.

    python -m scripts.random_models whisper-base --out models
    python -m bench.transcription --models models --json bench/results/transcription.json

Both use one model in one process, of the base shape with random weights in int8, beam 5, on the same sound.
Such a model never ends a text by itself, so each clip is given 40 tokens, which is what ten seconds of
speech take.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from bench.pairs import ROUNDS, Race, race, save
from sensory_pipeline.audio.decode import decode
from sensory_pipeline.audio.pcm import Pcm
from sensory_pipeline.core.requests import TranscriptionSettings
from sensory_pipeline.core.spans import Span
from sensory_pipeline.engines.base import TranscribeJob
from sensory_pipeline.engines.cache import CacheSettings, LoadedModel, ModelCache
from sensory_pipeline.engines.devices import CPU, ComputeType
from sensory_pipeline.engines.stt.whisper import WhisperTranscriber

SAMPLES = Path(__file__).parents[1] / "samples"
TOKENS = 40
BATCH = 8
CONDITIONS = {
    "2 to 15 s, language auto": (2, 15, 100, "auto"),
    "2 to 15 s, language given": (2, 15, 100, "en"),
    "2 to 90 s, language auto": (2, 90, 300, "auto"),
}
"""Shortest, longest and all recordings together in seconds, and the language."""


def recordings(shortest_s: float, longest_s: float, total_s: float) -> list[Pcm]:
    """Speech of the samples in pieces whose lengths are spread evenly on a logarithmic scale."""
    paths = sorted(path for path in SAMPLES.glob("*.*") if (SAMPLES / "truth" / f"{path.name}.json").exists())
    speech = np.concatenate([decode(path, max_duration_s=120).pcm.mono() for path in paths])
    whole = Pcm(samples=(speech * 32767).astype(np.int16)[None])
    lengths = np.random.default_rng(1)
    found: list[Pcm] = []
    at_ms = 0
    while at_ms < total_s * 1000:
        length_ms = round(1000 * float(np.exp(lengths.uniform(np.log(shortest_s), np.log(longest_s)))))
        start_ms = at_ms % (whole.span.end_ms - length_ms)
        found.append(whole.cut(Span(start_ms=start_ms, end_ms=start_ms + length_ms)))
        at_ms += length_ms
    return found


def theirs(model: Any, pcms: list[Pcm], language: str) -> int:
    """Words of faster-whisper, file by file."""
    from faster_whisper import BatchedInferencePipeline

    words = 0
    for pcm in pcms:
        segments, _ = BatchedInferencePipeline(model).transcribe(
            pcm.mono(),
            language=None if language == "auto" else language,
            batch_size=BATCH,
            beam_size=5,
            temperature=0.0,
            word_timestamps=True,
        )
        words += sum(len(segment.words) for segment in segments)
    return words


def ours(engine: WhisperTranscriber, pcms: list[Pcm], language: str) -> int:
    settings = TranscriptionSettings(language=language, temperatures=(0.0,), max_repeats=None, no_speech_threshold=None)
    jobs = (TranscribeJob(key=f"{index}", pcm=pcm, settings=settings) for index, pcm in enumerate(pcms))
    answers = list(engine.transcribe(jobs))
    if failed := [answer for _, answer in answers if isinstance(answer, Exception)]:
        raise failed[0]
    return sum(len(answer.words) for _, answer in answers if not isinstance(answer, Exception))


@contextmanager
def engine_and_model(folder: Path, threads: int) -> Iterator[tuple[WhisperTranscriber, Any]]:
    """Our engine, and the faster-whisper model that it uses."""
    from faster_whisper import WhisperModel

    model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=threads)
    model.max_length = 2 * TOKENS  # of which CTranslate2 gives half to the answer
    cache = ModelCache(CacheSettings(ttl_s=None))
    engine = WhisperTranscriber(
        str(folder), device=CPU, compute_type=ComputeType.INT8, cache=cache, cpu_threads=threads, batch_size=BATCH
    )
    with cache.lease(engine.key, lambda: LoadedModel(model=model, size_bytes=1, unload=lambda: None)):
        yield engine, model
    cache.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True, help="folder that scripts.random_models wrote to")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, default=2, help="of the processor")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    races: list[Race] = []
    console = Console()
    with engine_and_model(arguments.models / "whisper-base", arguments.threads) as (engine, model):
        for name, (shortest_s, longest_s, total_s, language) in CONDITIONS.items():
            pcms = recordings(shortest_s, longest_s, total_s)
            contenders = {
                "faster-whisper, file by file": partial(theirs, model, pcms, language),
                "engine": partial(ours, engine, pcms, language),
            }
            audio_s = sum(pcm.duration_ms for pcm in pcms) / 1000
            races.append(race(f"{len(pcms)} recordings of {name}", audio_s, contenders, arguments.rounds))
            console.print(races[-1].table())
    if arguments.json:
        save(arguments.json, races, ("faster-whisper", "ctranslate2", "numpy"), batch_size=BATCH, tokens_a_clip=TOKENS)


if __name__ == "__main__":
    main()
