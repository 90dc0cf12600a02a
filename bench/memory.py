"""The memory that an engine needs, in a separate process: for a long recording, and over many short ones.

    python -m bench.memory --hours 1 4 --models models --json bench/results/memory.json
    python -m bench.memory --recordings 1000 --models models --json bench/results/memory-recordings.json

The first command measures the peak on the tests' conversations, repeated one after the other, so that the truth is
known. Whisper has the published tiny shape; the others are the tests' miniatures, because the published shapes take
longer and no more memory besides their weights and one batch (docs/engines.md). The miniature's windows are half a
second apart instead of a second, so four hours have as many windows as eight. "stock" is pyannote.audio's own pipeline.

The second command measures the memory held after each tenth of the recordings, in the published shapes, with the tiny
Whisper. Exits with 1 if it grows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.der import diarization_errors
from bench.diarization import stock_pyannote, stock_turns
from bench.emotion import spoken
from bench.growth import GROWING, held_mb, judged
from bench.json_report import write_json
from bench.models import prepared
from bench.processes import peak_mb
from bench.transcription import PLAIN
from scripts.miniatures.conversations import read_truth
from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.core.diarization import Turn
from sensory_pipeline.core.emotion_windows import emotion_windows, utterance_windows
from sensory_pipeline.core.emotions import EmotionWindow
from sensory_pipeline.core.process_request import DiarizationSettings, EmotionLevel
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.utterances import AttributedWord, utterances
from sensory_pipeline.engines.base import ClassifyJob, DiarizeJob, TranscribeJob
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.devices import CPU, ComputeType
from sensory_pipeline.engines.diarization.pyannote.diarizer import PyannoteDiarizer
from sensory_pipeline.engines.emotion.gigaam import GigaamClassifier
from sensory_pipeline.engines.stt.whisper import WhisperTranscriber

MINIATURES = Path("sensory_pipeline_tests/data/miniatures")
NETWORKS = frozenset(f"sensory_pipeline_tests.miniature_pyannote.{name}" for name in ("TinySeg", "TinyXVector"))
ENGINES = ("stock", "pyannote", "gigaam", "whisper")
MOST_SPEAKERS = 8
"""Requested, so that the truth's speakers can be mapped to all that are found."""


def recording(hours: float) -> tuple[Waveform, list[Turn], list[AttributedWord]]:
    """Return sound of this length, its turns and its words."""
    files = sorted((MINIATURES / "conversations").glob("*.flac"))
    conversations = [(decode(file, max_duration_s=60).pcm.samples, read_truth(file)) for file in files]
    sounds, turns, words, frames = [], [], [], 0
    for samples, truth in cycle(conversations):
        if frames >= hours * 3600 * SAMPLE_RATE:
            break
        later_s = frames / SAMPLE_RATE
        for turn in truth.turns:
            span = Span.from_seconds(later_s + turn.start_s, later_s + turn.end_s)
            turns.append(Turn(span=span, speaker=turn.speaker))
            words += [
                spoken(word.text, Span.from_seconds(later_s + word.start_s, later_s + word.end_s), turn.speaker)
                for word in turn.words
            ]
        sounds.append(samples)
        frames += samples.shape[1]
    return Waveform(samples=np.concatenate(sounds, axis=1)), turns, words


def measure(engine: str, hours: float, models: Path) -> dict[str, float | str]:
    """Measure an engine in this process.

    Args:
        engine: Name of the engine.
        hours: Length of the recording.
        models: Folder of the published shapes.

    Returns:
        Memory in MB before the engine started and at its peak, CPU seconds, and DER without a collar.
    """
    pcm, truth, words = recording(hours)
    before, start = peak_mb(), time.process_time()
    found: Sequence[Turn] = ()
    if engine == "gigaam":
        said = utterances(words)
        windows = emotion_windows(EmotionLevel.WORD, said, pcm.span) + utterance_windows(said)
        _classify(pcm, windows)
    elif engine == "whisper":
        _transcribe(pcm, prepared(models).tiny)
    elif engine == "stock":
        pipeline = stock_pyannote(MINIATURES / "pyannote")
        found = [
            Turn(span=Span(start_ms=start_ms, end_ms=end_ms), speaker=str(speaker))
            for start_ms, end_ms, speaker in stock_turns(pipeline, pcm, max_speakers=MOST_SPEAKERS)
        ]
    else:
        found = _diarize(pcm)
    figures: dict[str, float | str] = {
        "engine": engine,
        "hours": hours,
        "recording_mb": before,
        "peak_mb": peak_mb(),
        "cpu_s": time.process_time() - start,
    }
    if found:
        errors = diarization_errors(truth, found, collar_ms=0)
        figures["der"] = errors.errors_ms / errors.speech_ms
    return figures


def _classify(pcm: Waveform, windows: tuple[EmotionWindow, ...]) -> None:
    engine = GigaamClassifier(str(MINIATURES / "gigaam" / "emo.ckpt"), cache=ModelCache(CacheSettings(ttl_s=None)))
    ((_, answer),) = engine.classify([ClassifyJob(key="a", pcm=pcm, windows=windows, language=None)])
    if isinstance(answer, Exception):
        raise answer


def _transcribe(pcm: Waveform, model: Path) -> None:
    cache = ModelCache(CacheSettings(ttl_s=None))
    engine = WhisperTranscriber(str(model), device=CPU, compute_type=ComputeType.INT8, cache=cache)
    ((_, answer),) = engine.transcribe([TranscribeJob(key="a", pcm=pcm, settings=PLAIN)])
    if isinstance(answer, Exception):
        raise answer


def _diarize(pcm: Waveform) -> tuple[Turn, ...]:
    cache = ModelCache(CacheSettings(ttl_s=None))
    engine = PyannoteDiarizer(str(MINIATURES / "pyannote"), cache=cache, trusted_classes=NETWORKS)
    settings = DiarizationSettings(max_speakers=MOST_SPEAKERS)
    ((_, answer),) = engine.diarize([DiarizeJob(key="a", pcm=pcm, settings=settings)])
    if isinstance(answer, Exception):
        raise answer
    return answer.turns


def alone(engine: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this command in a separate process for one engine; the last line of its output is JSON."""
    command = [sys.executable, "-m", "bench.memory", "--one", "--engines", engine, *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True)


def peaks(arguments: argparse.Namespace, console: Console) -> tuple[list[dict[str, object]], bool]:
    """Measure the peak of every engine and length."""
    found: list[dict[str, object]] = []
    clustered = ["--clustered", str(arguments.clustered)] if arguments.clustered else []
    for hours in arguments.hours:
        for engine in arguments.engines:
            done = alone(engine, "--models", str(arguments.models), "--hours", str(hours), *clustered)
            if done.returncode:  # for the stock pipeline, this is a result too
                found.append({"engine": engine, "hours": hours, "ended": done.returncode})
            else:
                found.append(json.loads(done.stdout.splitlines()[-1]))
    columns = ("engine", "hours", "recording_mb", "peak_mb", "cpu_s", "der", "ended")
    table = Table(*columns)
    for row in found:
        cells = (row.get(name, "-") for name in columns)
        table.add_row(*(f"{cell:.3g}" if isinstance(cell, float) and cell < 1 else str(cell) for cell in cells))
    console.print(table)
    return found, True


def series(arguments: argparse.Namespace, console: Console) -> tuple[list[dict[str, object]], bool]:
    """Measure every engine over many recordings; return also whether no engine's memory grows."""
    found: list[dict[str, object]] = []
    for engine in (engine for engine in arguments.engines if engine in GROWING):
        done = alone(engine, "--models", str(arguments.models), "--recordings", str(arguments.recordings))
        done.check_returncode()
        noted = json.loads(done.stdout.splitlines()[-1])
        verdict = judged(engine, noted)
        console.print(f"{engine}, MB after each tenth of {arguments.recordings}:", *(f"{mb:.0f}" for mb in noted))
        verdict.show(console)
        row = {"engine": engine, "recordings": arguments.recordings, "held_mb": noted}
        found.append({**row, "flat": verdict.met})
    return found, all(row["flat"] for row in found)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--hours", type=float, nargs="+", default=[1.0, 4.0])
    parser.add_argument("--recordings", type=int, help="number of short recordings, instead of long ones")
    parser.add_argument("--models", type=Path, required=True, help="folder of the published shapes")
    parser.add_argument("--clustered", type=int, help="voices that pyannote's clustering is given, instead of 10,800")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        warnings.simplefilter("ignore")
        if arguments.clustered:
            from sensory_pipeline.engines.diarization.pyannote import pipeline

            pipeline.MOST_CLUSTERED = arguments.clustered
        (engine,) = arguments.engines
        if arguments.recordings:
            print(json.dumps(held_mb(engine, prepared(arguments.models), arguments.recordings)))
        else:
            print(json.dumps(measure(engine, arguments.hours[0], arguments.models)))
        return
    found, good = (series if arguments.recordings else peaks)(arguments, Console())
    if arguments.json:
        write_json(arguments.json, found)
    sys.exit(not good)


if __name__ == "__main__":
    main()
