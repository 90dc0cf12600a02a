"""How much memory an engine takes on a long recording: each in a process of its own, at its peak.

    python -m bench.memory --hours 1 4 --json bench/results/memory.json

The tests' conversations, one after the other and over again, so that the truth is known, through their
miniature models: the published shapes take longer, and no more memory beside their weights and one
batch (docs/engines.md). The miniature's windows are half a second apart, not a second, so four hours
hold as many as eight. "stock" is pyannote.audio's own pipeline.
"""

from __future__ import annotations

import argparse
import json
import resource
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
from scripts.miniatures.conversations import read_truth
from sensory_pipeline.audio.decode import decode
from sensory_pipeline.audio.pcm import SAMPLE_RATE, Pcm
from sensory_pipeline.core.diarization import Turn
from sensory_pipeline.core.emotions import EmotionWindow
from sensory_pipeline.core.requests import DiarizationSettings, EmotionLevel
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.utterances import AttributedWord, utterances
from sensory_pipeline.core.windows import emotion_windows, utterance_windows
from sensory_pipeline.engines.base import ClassifyJob, DiarizeJob
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.diarization.pyannote_audio import PyannoteDiarizer
from sensory_pipeline.engines.emotion.gigaam import GigaamClassifier

MINIATURES = Path("sensory_pipeline_tests/data/miniatures")
NETWORKS = frozenset(f"sensory_pipeline_tests.miniature_pyannote.{name}" for name in ("TinySeg", "TinyXVector"))
ENGINES = ("stock", "pyannote", "gigaam")
MOST_SPEAKERS = 8
"""Asked for, so that the truth's voices can be tried against all that are found."""


def recording(hours: float) -> tuple[Pcm, list[Turn], list[AttributedWord]]:
    """Sound of that length, who speaks in it, and the words."""
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
    return Pcm(samples=np.concatenate(sounds, axis=1)), turns, words


def measure(engine: str, hours: float) -> dict[str, float | str]:
    """In this process. Peak and what was held before the engine started, in MB; seconds; DER without a collar."""
    pcm, truth, words = recording(hours)
    before, start = _peak_mb(), time.process_time()
    found: Sequence[Turn] = ()
    if engine == "gigaam":
        said = utterances(words)
        windows = emotion_windows(EmotionLevel.WORD, said, pcm.span) + utterance_windows(said)
        _classify(pcm, windows)
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
        "peak_mb": _peak_mb(),
        "cpu_s": time.process_time() - start,
    }
    if found:
        errors = diarization_errors(truth, found, collar_ms=0)
        figures["der"] = errors.errors_ms / errors.speech_ms
    return figures


def _classify(pcm: Pcm, windows: tuple[EmotionWindow, ...]) -> None:
    engine = GigaamClassifier(str(MINIATURES / "gigaam" / "emo.ckpt"), cache=ModelCache(CacheSettings(ttl_s=None)))
    ((_, answer),) = engine.classify([ClassifyJob(key="a", pcm=pcm, windows=windows, language=None)])
    if isinstance(answer, Exception):
        raise answer


def _diarize(pcm: Pcm) -> tuple[Turn, ...]:
    cache = ModelCache(CacheSettings(ttl_s=None))
    engine = PyannoteDiarizer(str(MINIATURES / "pyannote"), cache=cache, trusted_classes=NETWORKS)
    settings = DiarizationSettings(max_speakers=MOST_SPEAKERS)
    ((_, answer),) = engine.diarize([DiarizeJob(key="a", pcm=pcm, settings=settings)])
    if isinstance(answer, Exception):
        raise answer
    return answer.turns


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--hours", type=float, nargs="+", default=[1.0, 4.0])
    parser.add_argument("--clustered", type=int, help="voices that pyannote's clustering is given, instead of 10,800")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        warnings.simplefilter("ignore")
        if arguments.clustered:
            from sensory_pipeline.engines.diarization import pipeline

            pipeline.MOST_CLUSTERED = arguments.clustered
        print(json.dumps(measure(arguments.engines[0], arguments.hours[0])))
        return
    results = []
    for hours in arguments.hours:
        for engine in arguments.engines:
            command = [sys.executable, "-m", "bench.memory", "--one", "--engines", engine, "--hours", str(hours)]
            command += ["--clustered", str(arguments.clustered)] if arguments.clustered else []
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            if done.returncode:  # which for the stock pipeline is a result too
                results.append({"engine": engine, "hours": hours, "ended": done.returncode})
            else:
                results.append(json.loads(done.stdout.splitlines()[-1]))
    columns = ("engine", "hours", "recording_mb", "peak_mb", "cpu_s", "der", "ended")
    table = Table(*columns)
    for row in results:
        cells = (row.get(name, "-") for name in columns)
        table.add_row(*(f"{cell:.3g}" if isinstance(cell, float) and cell < 1 else str(cell) for cell in cells))
    Console().print(table)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
