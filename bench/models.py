"""The models of the benchmarks: the published shapes with random weights.

Their output means nothing; their cost is that of the published models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scripts import random_models
from scripts.miniatures.whisper.shape import BASE, TINY

TOKENS = 40
"""Length of every clip's text: as for ten seconds of speech. A model with random weights would never end one."""
SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """Paths of the models.

    Attributes:
        whisper: Folder of Whisper base.
        tiny: Folder of Whisper tiny, for measuring memory.
        pyannote: Folder of the pipeline.
        gigaam: File of the checkpoint.
    """

    whisper: Path
    tiny: Path
    pyannote: Path
    gigaam: Path


def prepared(folder: Path) -> Models:
    """Return the models in the folder; create the missing ones."""
    models = Models(
        whisper=folder / f"whisper-base-{TOKENS}",
        tiny=folder / f"whisper-tiny-{TOKENS}",
        pyannote=folder / "pyannote",
        gigaam=folder / "gigaam" / "emo.ckpt",
    )
    makers: dict[Path, Callable[[], None]] = {
        models.whisper: partial(random_models.whisper, models.whisper, BASE, SEED, tokens_a_text=TOKENS),
        models.tiny: partial(random_models.whisper, models.tiny, TINY, SEED, tokens_a_text=TOKENS),
        models.pyannote: partial(random_models.pyannote, models.pyannote, SEED),
        models.gigaam: partial(random_models.gigaam, models.gigaam, SEED),
    }
    for path, make in makers.items():
        if not path.exists():
            make()
    return models
