"""The engines beside the libraries that they use: same models, same recordings, one process.

    python -m bench.engines --models models --json bench/results/engines.json

Loading is not measured. The models have random weights in the published shapes and are created if the folder lacks
them. Exits with 1 if a threshold is missed.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from bench import diarization, emotion, transcription
from bench.comparison import ROUNDS, Comparison, save
from bench.models import TOKENS, Models, prepared

COMPARISONS: dict[str, Callable[[Models, int], Iterator[Comparison]]] = {
    "transcription": transcription.comparisons,
    "diarization": diarization.comparisons,
    "emotion": emotion.comparisons,
}
PACKAGES = ("faster-whisper", "ctranslate2", "pyannote.audio", "torch", "numpy")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True, help="folder of the models")
    parser.add_argument("--only", choices=COMPARISONS, help="the comparisons of one engine")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    models = prepared(arguments.models)
    console = Console()
    comparisons: list[Comparison] = []
    for engine in [arguments.only] if arguments.only else COMPARISONS:
        for found in COMPARISONS[engine](models, arguments.rounds):
            found.show(console)
            comparisons.append(found)
            if arguments.json:  # after each comparison: all take an hour, and may be interrupted
                save(arguments.json, comparisons, PACKAGES, batch_size=transcription.BATCH, tokens_a_clip=TOKENS)
    sys.exit(not all(verdict.met for found in comparisons for verdict in found.verdicts()))


if __name__ == "__main__":
    main()
