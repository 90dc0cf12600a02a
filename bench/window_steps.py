"""What a wider step between pyannote's windows costs in diarization errors.

    python -m bench.window_steps --audio FOLDER --rttm FILE --json bench/results/window_steps.json

On the tests' conversations, and on recordings of one's own where a folder and their RTTM are given. The model
is the tests' miniature unless another is named: it was trained on such conversations, whose windows are 5 s,
and knows nothing of rooms, so only the differences between steps say something elsewhere.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.der import diarization_errors
from bench.memory import MINIATURES, NETWORKS
from scripts.miniatures.conversations import read_truth
from sensory_pipeline.audio.decode import decode
from sensory_pipeline.audio.pcm import Pcm
from sensory_pipeline.core.diarization import Turn
from sensory_pipeline.core.requests import DiarizationSettings
from sensory_pipeline.core.spans import Span
from sensory_pipeline.engines.base import DiarizeJob
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.diarization.pyannote_audio import PyannoteDiarizer

STEPS = (None, 0.2, 0.25, 0.4, 0.5)
COLLAR_MS = 250
Known = Mapping[str, tuple[Pcm, list[Turn]]]
"""Recordings by name, with who speaks in them."""


def conversations() -> Known:
    known = {}
    for file in sorted((MINIATURES / "conversations").glob("*.flac")):
        truth = read_truth(file).turns
        turns = [Turn(span=Span.from_seconds(turn.start_s, turn.end_s), speaker=turn.speaker) for turn in truth]
        known[file.stem] = (decode(file, max_duration_s=60).pcm, turns)
    return known


def described(audio: Path, rttm: Path) -> Known:
    """The recordings that the file tells the speakers of, whose names are those in it."""
    turns: dict[str, list[Turn]] = {}
    for line in rttm.read_text(encoding="utf-8").splitlines():
        _, name, _, start, duration, _, _, speaker, *_ = line.split()
        span = Span.from_seconds(float(start), float(start) + float(duration))
        turns.setdefault(name, []).append(Turn(span=span, speaker=speaker))
    files = {file.stem: file for file in audio.iterdir()}
    return {name: (decode(files[name], max_duration_s=3600).pcm, turns[name]) for name in sorted(turns)}


def error_rates(engine: PyannoteDiarizer, known: Known) -> tuple[float, float]:
    """DER over all recordings together: strict, and with a collar of 0.25 s."""
    jobs = [DiarizeJob(key=name, pcm=pcm, settings=DiarizationSettings()) for name, (pcm, _) in known.items()]
    errors, speech = [0, 0], [0, 0]
    for name, answer in engine.diarize(jobs):
        if isinstance(answer, Exception):
            raise answer
        for index, collar_ms in enumerate((0, COLLAR_MS)):
            found = diarization_errors(known[name][1], answer.turns, collar_ms=collar_ms)
            errors[index] += found.errors_ms
            speech[index] += found.speech_ms
    return errors[0] / speech[0], errors[1] / speech[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(MINIATURES / "pyannote"))
    parser.add_argument("--audio", type=Path, help="folder of recordings")
    parser.add_argument("--rttm", type=Path, help="who speaks in them")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    sets = {"conversations": conversations()}
    if arguments.audio and arguments.rttm:
        sets[arguments.rttm.stem] = described(arguments.audio, arguments.rttm)
    results = []
    with closing(ModelCache(CacheSettings(ttl_s=None))) as cache:
        for step in STEPS:
            engine = PyannoteDiarizer(arguments.model, cache=cache, trusted_classes=NETWORKS, window_step=step)
            for name, known in sets.items():
                der, collared = error_rates(engine, known)
                results.append({"recordings": name, "step": step, "der": der, "der_collared": collared})
    table = Table("recordings", "step", "DER", "DER, 0.25 s collar")
    for row in sorted(results, key=lambda row: str(row["recordings"])):
        table.add_row(
            str(row["recordings"]), str(row["step"] or "the model's"), f"{row['der']:.3f}", f"{row['der_collared']:.3f}"
        )
    Console().print(table)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
