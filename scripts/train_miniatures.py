"""Trains the miniature models: `python -m scripts.train_miniatures all --out sensory_pipeline_tests/data/miniatures`.

Needs Debian's espeak-ng and the extra `models`; takes about 30 minutes on one CPU core. Each model is measured when it
is done, and its figures are written to figures.json beside it. The same seed gives the same speech and, with the same
torch on the same kind of CPU, the same weights.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from sensory_pipeline.core.errors import ConfigurationError

CONVERSATIONS = {"english-two": ("en", 2, 5), "english-three": ("en", 3, 5), "russian-two": ("ru", 2, 5)}
"""Language, speakers and turns of the conversations in the repository."""
MEASURED_WITH = 1000
"""Added to the seed, for sentences that were not used in training."""


def whisper(out: Path, seed: int) -> dict[str, float]:
    """Train and write the miniature Whisper; return its figures."""
    from scripts.miniatures.whisper import ctranslate, figures
    from scripts.miniatures.whisper.shape import MINIATURE
    from scripts.miniatures.whisper.training import train

    model, tokens = train(seed)
    weights = {name: values.numpy() for name, values in model.state_dict().items()}
    ctranslate.save(out, MINIATURE, weights, tokens, "int8")
    return figures.measure(out, seed + MEASURED_WITH)


def pyannote(out: Path, seed: int) -> dict[str, float]:
    """Train and write the miniature pipeline; return its figures."""
    from scripts.miniatures.pyannote import figures
    from scripts.miniatures.pyannote.pipeline import train

    train(seed, out)
    return figures.measure(figures.load(out), figures.conversations(seed + MEASURED_WITH))


def gigaam(out: Path, seed: int) -> dict[str, float]:
    """Train and write the miniature GigaAM-Emo; return its figures."""
    from scripts.miniatures.gigaam import measure, save, train

    network = train(seed)
    save(network, out / "emo.ckpt")
    return measure(network, seed + MEASURED_WITH)


def conversations(out: Path, seed: int) -> dict[str, float]:
    """Write the conversations for the tests."""
    from scripts.miniatures.conversations import make_conversation, write_conversation

    durations_s = {}
    for index, (name, (language, speakers, turns)) in enumerate(CONVERSATIONS.items()):
        samples, truth = make_conversation(seed + index, language=language, speakers=speakers, turns=turns)
        write_conversation(samples, truth, out / name)
        durations_s[f"seconds of {name}"] = truth.duration_s
    return durations_s


PARTS: dict[str, Callable[[Path, int], dict[str, float]]] = {
    "whisper": whisper,
    "pyannote": pyannote,
    "gigaam": gigaam,
    "conversations": conversations,
}


def main() -> int:
    """Train the models that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("--out", type=Path, required=True, help="folder to write to, a folder in it for each part")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for part in PARTS if arguments.part == "all" else [arguments.part]:
        folder: Path = arguments.out / part
        try:
            figures = PARTS[part](folder, arguments.seed)
        except ConfigurationError as error:
            print(error, file=sys.stderr)
            return 2
        text = json.dumps({"seed": arguments.seed, **figures}, indent=2)
        (folder / "figures.json").write_text(text + "\n", encoding="utf-8")
        print(part, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
