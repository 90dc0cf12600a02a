"""The engines on a GPU: hours of recordings in an hour, Whisper's batch sizes, and how busy the GPU is.

    python -m bench.gpu FOLDER --whisper base --models models --json bench/results/gpu.json

FOLDER holds labelled recordings (labelled.py). Whisper base has its real weights; large-v3-turbo, pyannote's
community-1 and GigaAM-Emo have random ones in the published shapes (models.py). Every contender is on the GPU, with
default settings.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.comparison import conditions
from bench.diarization import stock_pyannote, stock_turns
from bench.emotion import spoken
from bench.gpu_rates import Rate, measured, show
from bench.json_report import write_json
from bench.labelled import read_labelled
from bench.models import SEED, TOKENS
from bench.transcription import OURS, PLAIN, our_words, their_words
from scripts import random_models
from scripts.miniatures.whisper.shape import LARGE_V3_TURBO
from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.emotion_windows import emotion_windows, utterance_windows
from sensory_pipeline.core.process_request import DiarizationSettings, EmotionLevel, TranscriptionSettings
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.utterances import utterances
from sensory_pipeline.engines.activity_log import ActivityLog
from sensory_pipeline.engines.base import ClassifyJob, DiarizeJob
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.device_memory import gpu_name
from sensory_pipeline.engines.devices import ComputeType, Device
from sensory_pipeline.engines.diarization.pyannote.diarizer import PyannoteDiarizer
from sensory_pipeline.engines.emotion.gigaam import GigaamClassifier
from sensory_pipeline.engines.stt.batch_size import SIZES, fastest, seconds_of
from sensory_pipeline.engines.stt.whisper import WhisperTranscriber
from sensory_pipeline.engines.stt.whisper_models import load, resolve

GPU = Device.parse("cuda:0")
PACKAGES = ("faster-whisper", "ctranslate2", "numpy")
WORD_MS = 400
"""Length of the words whose emotions are asked for."""
WORDS_A_TURN = 9
SOME = 3
"""faster-whisper gets every third recording."""
CONVERSATION_MS = 20_000
"""Shortest recording whose speakers are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRates:
    """How fast Whisper is with batches of some sizes.

    Attributes:
        model: Its name.
        compute_type: Precision.
        windows_a_second: Windows of 30 s that are encoded, and decoded to 32 tokens, by batch size.
        chosen: The size that the engine chooses.
    """

    model: str
    compute_type: ComputeType
    windows_a_second: dict[int, float]
    chosen: int


def batches(model: str, compute_type: ComputeType) -> BatchRates:
    """Measure all batch sizes, as the engine does when it loads a model for the first time.

    Args:
        model: A name of the catalogue, or a folder.
        compute_type: Precision.
    """
    loaded = load(resolve(model), GPU, compute_type, 0, workers=True)
    seconds_of(loaded.model, SIZES[0])  # the first calls are slower
    seconds = {size: seconds_of(loaded.model, size) for size in SIZES}
    loaded.unload()
    return BatchRates(
        model=Path(model).name,
        compute_type=compute_type,
        windows_a_second={size: round(size / taken, 1) for size, taken in seconds.items() if taken},
        chosen=fastest(seconds.__getitem__),
    )


def transcription(model: str, size: int, pcms: Sequence[Waveform], times: int) -> Iterator[Rate]:
    """Yield the rate of the engine, and that of faster-whisper in batches.

    A model with random weights fails every threshold of quality, so it decodes each clip only once.

    Args:
        model: A name of the catalogue, or a folder.
        size: Batch size.
        pcms: The recordings.
        times: How many times our engine transcribes all of them, as one stream.
    """
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    work = f"Whisper {Path(model).name}"
    random = Path(model).is_dir()
    settings = PLAIN if random else TranscriptionSettings()
    activity = ActivityLog()
    with closing(ModelCache(CacheSettings(ttl_s=None))) as cache:
        engine = WhisperTranscriber(
            model, device=GPU, compute_type=ComputeType.FLOAT16, cache=cache, batch_size=size, activity=activity
        )
        our_words(engine, pcms[:8], settings)
        many = [*pcms] * times
        yield measured(work, OURS, seconds_in(many), partial(our_words, engine, many, settings), activity)
    theirs = WhisperModel(str(resolve(model).path), device="cuda", compute_type="float16")
    pipeline = BatchedInferencePipeline(theirs)
    options: dict[str, Any] = {"temperature": 0.0} if random else {}
    their_words(pipeline, pcms[:2], "auto", batch_size=size, **options)

    some = pcms[::SOME]

    def batched() -> int:
        return their_words(pipeline, some, "auto", batch_size=size, **options)

    yield measured(work, "faster-whisper, batched", seconds_in(some), batched)


def diarization(model: Path, pcms: Sequence[Waveform]) -> Iterator[Rate]:
    """Yield the rate of the engine, and that of pyannote's own pipeline with the same networks.

    Args:
        model: Folder of the pipeline.
        pcms: The recordings.
    """
    import torch

    work = "pyannote community-1"
    activity = ActivityLog()
    jobs = [DiarizeJob(key=f"{index}", pcm=pcm, settings=DiarizationSettings()) for index, pcm in enumerate(pcms)]
    with closing(ModelCache(CacheSettings(ttl_s=None))) as cache:
        engine = PyannoteDiarizer(str(model), device=GPU, cache=cache, activity=activity)
        list(engine.diarize(jobs[:1]))
        yield measured(work, OURS, seconds_in(pcms), lambda: len(list(engine.diarize(jobs))), activity)
    stock = stock_pyannote(model)
    stock.to(torch.device("cuda"))
    stock_turns(stock, pcms[0])
    yield measured(work, "pyannote.audio", seconds_in(pcms), lambda: len([stock_turns(stock, pcm) for pcm in pcms]))


def emotion(checkpoint: Path, pcms: Sequence[Waveform]) -> Iterator[Rate]:
    """Yield the rate of the emotion engine, for every word and every turn of made-up words."""
    activity = ActivityLog()
    jobs = [_classify_job(f"{index}", pcm) for index, pcm in enumerate(pcms)]
    with closing(ModelCache(CacheSettings(ttl_s=None))) as cache:
        engine = GigaamClassifier(str(checkpoint), device=GPU.name, cache=cache, activity=activity)
        _emotions(engine, jobs[:1])
        yield measured("GigaAM-Emo, each word", OURS, seconds_in(pcms), partial(_emotions, engine, jobs), activity)


def _emotions(engine: GigaamClassifier, jobs: Sequence[ClassifyJob]) -> int:
    found = 0
    for _, answer in engine.classify(jobs):
        if isinstance(answer, Exception):
            raise answer
        found += len(answer)
    return found


def _classify_job(key: str, pcm: Waveform) -> ClassifyJob:
    starts = range(0, pcm.span.end_ms - WORD_MS, WORD_MS)
    words = [
        spoken("word", Span(start_ms=start, end_ms=start + WORD_MS), f"S{index // WORDS_A_TURN % 2}")
        for index, start in enumerate(starts)
    ]
    parts = utterances(words)
    windows = emotion_windows(EmotionLevel.WORD, parts, pcm.span) + utterance_windows(parts)
    return ClassifyJob(key=key, pcm=pcm, windows=windows, language=None)


def seconds_in(pcms: Sequence[Waveform]) -> float:
    """Return the length of all recordings together in seconds."""
    return sum(pcm.duration_ms for pcm in pcms) / 1000


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="labelled recordings")
    parser.add_argument("--whisper", default="base", help="a Whisper model with real weights")
    parser.add_argument("--models", type=Path, required=True, help="folder for the models with random weights")
    parser.add_argument("--only", choices=("transcription", "diarization", "emotion"))
    parser.add_argument("--times", type=int, default=4, help="how often our Whisper transcribes all recordings")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    console = Console()
    turbo = arguments.models / f"whisper-large-v3-turbo-{TOKENS}"
    pyannote, gigaam = arguments.models / "pyannote", arguments.models / "gigaam" / "emo.ckpt"
    makers: dict[Path, Callable[[], None]] = {
        turbo: lambda: random_models.whisper(turbo, LARGE_V3_TURBO, SEED, tokens_a_text=TOKENS),
        pyannote: lambda: random_models.pyannote(pyannote, SEED),
        gigaam: lambda: random_models.gigaam(gigaam, SEED),
    }
    for path, make in makers.items():
        if not path.exists():
            make()
    pcms = [decode(recording.file, max_duration_s=3600).pcm for recording in read_labelled(arguments.folder)]
    sizes: list[BatchRates] = []

    def whispers() -> Iterator[Rate]:
        for model in (arguments.whisper, str(turbo)):
            found = [batches(model, kind) for kind in (ComputeType.FLOAT16, ComputeType.INT8_FLOAT16)]
            sizes.extend(found)
            console.print(*found)
            yield from transcription(model, found[0].chosen, pcms, arguments.times)

    parts: dict[str, Callable[[], Iterator[Rate]]] = {
        "transcription": whispers,
        "diarization": lambda: diarization(pyannote, [pcm for pcm in pcms if pcm.duration_ms >= CONVERSATION_MS]),
        "emotion": lambda: emotion(gigaam, pcms),
    }
    rates: list[Rate] = []
    for part in [arguments.only] if arguments.only else parts:
        for rate in parts[part]():
            rates.append(rate)
            console.print(f"{rate.work}, {rate.contender}: {rate.hours_an_hour:.0f} hours an hour")
            if arguments.json:  # after each, since the machine may be taken away
                figures = {**conditions(PACKAGES), "card": gpu_name(GPU, None), "tokens_a_clip": TOKENS}
                figures["batches"] = [asdict(found) for found in sizes]
                write_json(arguments.json, {**figures, "rates": [asdict(each) for each in rates]})
    show(console, rates)


if __name__ == "__main__":
    main()
