"""The models that are compared: the published shapes with random weights.

What they say means nothing; what they cost is that of the published ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scripts import random_models
from scripts.miniatures.whisper.shape import BASE, TINY

TOKENS = 40
"""Of every clip's text: what ten seconds of speech take. A model with random weights would never end one."""
SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """Folders, and the file of the checkpoint. tiny: Whisper's, where only memory is looked at."""

    whisper: Path
    tiny: Path
    pyannote: Path
    gigaam: Path


def prepared(folder: Path) -> Models:
    """Those in the folder, made first where they are not there."""
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
