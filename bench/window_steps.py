"""How a wider step between pyannote's windows affects diarization errors.

    python -m bench.window_steps --audio FOLDER --rttm FILE --json bench/results/window_steps.json

Uses the tests' conversations, and your own recordings if you give a folder and their RTTM. The default model is the
tests' miniature. It was trained on such conversations with windows of 5 s, and finds speech everywhere in recordings of
rooms; missed and confused speech are still comparable there, since they do not depend on false alarms outside the
reference's speech. Steps close to the model's own show how much is chance.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.der import DiarizationErrors, diarization_errors
from bench.json_report import write_json
from bench.memory import MINIATURES, NETWORKS
from scripts.miniatures.conversations import read_truth
from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.diarization import Turn
from sensory_pipeline.core.process_request import DiarizationSettings
from sensory_pipeline.core.spans import Span
from sensory_pipeline.engines.base import DiarizeJob
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.diarization.pyannote.diarizer import PyannoteDiarizer

STEPS = (0.08, None, 0.12, 0.2, 0.25, 0.4, 0.5)
COLLAR_MS = 250
Known = Mapping[str, tuple[Waveform, list[Turn]]]
"""Recordings by name, with their turns."""


def conversations() -> Known:
    """Return the tests' conversations."""
    known = {}
    for file in sorted((MINIATURES / "conversations").glob("*.flac")):
        truth = read_truth(file).turns
        turns = [Turn(span=Span.from_seconds(turn.start_s, turn.end_s), speaker=turn.speaker) for turn in truth]
        known[file.stem] = (decode(file, max_duration_s=60).pcm, turns)
    return known


def described(audio: Path, rttm: Path) -> Known:
    """Return the recordings of an RTTM file, whose names are those in the file."""
    turns: dict[str, list[Turn]] = {}
    for line in rttm.read_text(encoding="utf-8").splitlines():
        _, name, _, start, duration, _, _, speaker, *_ = line.split()
        span = Span.from_seconds(float(start), float(start) + float(duration))
        turns.setdefault(name, []).append(Turn(span=span, speaker=speaker))
    files = {file.stem: file for file in audio.iterdir()}
    return {name: (decode(files[name], max_duration_s=3600).pcm, turns[name]) for name in sorted(turns)}


def error_rates(engine: PyannoteDiarizer, known: Known) -> dict[str, float]:
    """Return error rates over all recordings, as shares of their speech: DER, its parts, and DER with a collar.

    `within_speech` is missed or confused speech. `after_end` are false alarms after the last turn of the reference. The
    collar is 0.25 s.

    Args:
        engine: The engine.
        known: The recordings.
    """
    jobs = [DiarizeJob(key=name, pcm=pcm, settings=DiarizationSettings()) for name, (pcm, _) in known.items()]
    sums: dict[int, Counter[str]] = {0: Counter(), COLLAR_MS: Counter()}
    after_end_ms = 0
    for name, answer in engine.diarize(jobs):
        if isinstance(answer, Exception):
            raise answer
        end_ms = max(turn.span.end_ms for turn in known[name][1])
        after_end_ms += sum(max(0, turn.span.end_ms - max(turn.span.start_ms, end_ms)) for turn in answer.turns)
        for collar_ms, total in sums.items():
            total.update(asdict(diarization_errors(known[name][1], answer.turns, collar_ms=collar_ms)))
    strict, collared = (DiarizationErrors(**total) for total in sums.values())
    rates = {
        "der": strict.errors_ms,
        "missed": strict.missed_ms,
        "false_alarm": strict.false_alarm_ms,
        "after_end": after_end_ms,
        "confused": strict.confused_ms,
        "within_speech": strict.missed_ms + strict.confused_ms,
    }
    return {name: ms / strict.speech_ms for name, ms in rates.items()} | {
        "der_collared": collared.errors_ms / collared.speech_ms
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(MINIATURES / "pyannote"))
    parser.add_argument("--audio", type=Path, help="folder of recordings")
    parser.add_argument("--rttm", type=Path, help="who speaks in them")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    sets = {"conversations": conversations()}
    if arguments.audio and arguments.rttm:
        sets[arguments.rttm.stem] = described(arguments.audio, arguments.rttm)
    results: list[dict[str, str | float | None]] = []
    with closing(ModelCache(CacheSettings(ttl_s=None))) as cache:
        for name, known in sets.items():
            for step in STEPS:
                engine = PyannoteDiarizer(arguments.model, cache=cache, trusted_classes=NETWORKS, window_step=step)
                results.append({"recordings": name, "step": step, **error_rates(engine, known)})
    table = Table(*results[0])
    for row in results:
        table.add_row(
            *(f"{cell:.3f}" if isinstance(cell, float) else str(cell or "the model's") for cell in row.values())
        )
    Console().print(table)
    if arguments.json:
        write_json(arguments.json, results)


if __name__ == "__main__":
    main()
