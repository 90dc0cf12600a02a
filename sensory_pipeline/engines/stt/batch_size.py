"""How many clips Whisper decodes at once on a GPU: tried out when its model is first loaded there, and remembered."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import PositiveInt, TypeAdapter, ValidationError

from sensory_pipeline.engines.faults import short_of_memory
from sensory_pipeline.storage.files import write_text_atomically
from sensory_pipeline.storage.lock import held

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

log = logging.getLogger(__name__)

SIZES = (8, 16, 32, 64, 128)
_WORTH = 1.1  # by how much more clips a second should come through for twice the memory
_BEAM = 5
_TOKENS = 32  # that each clip of a trial is given
_FRAMES = 3000  # of a window of 30 s
_FILE = TypeAdapter(dict[str, PositiveInt])


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSizes:
    """A file with the sizes that were found. place: what they hold for, beside the model, as the name of a GPU."""

    path: Path
    place: str

    def get(self, model: str) -> int | None:
        """What is remembered. model: with its revision and precision."""
        return self._all().get(f"{self.place}: {model}")

    def keep(self, model: str, size: int) -> None:
        """Remember it, where the file can be written."""
        try:
            with held(self.path.with_suffix(".lock"), what="the sizes of batches"):
                sizes = {**self._all(), f"{self.place}: {model}": size}
                write_text_atomically(self.path, json.dumps(sizes, indent=1, sort_keys=True) + "\n")
        except OSError as error:
            log.warning("%s cannot be written (%s): the size of batches is found anew next time", self.path, error)

    def _all(self) -> dict[str, int]:
        try:
            return _FILE.validate_json(self.path.read_bytes())
        except (OSError, ValidationError):  # none yet, or not ours
            return {}


def fastest(measure: Callable[[int], float | None]) -> int:
    """The least of SIZES that doubling no longer makes clearly faster. measure: seconds that a batch of a size takes,
    None where the memory is too small for it.

    >>> fastest(lambda size: None if size > 16 else 1.0)
    16
    >>> fastest(lambda size: size / min(size, 32))
    32
    """
    best, rate = SIZES[0], 0.0
    for size in SIZES:
        seconds = measure(size)
        if seconds is None or size / seconds < rate * _WORTH:
            break
        best, rate = size, size / seconds
    return best


def seconds_of(model: WhisperModel, size: int) -> float | None:
    """What a batch of so many full windows takes on the model's device; None where its memory is too small."""
    noise = np.random.default_rng(0).standard_normal((size, model.feature_extractor.mel_filters.shape[0], _FRAMES))
    windows = np.asarray(noise, np.float32)
    token = model.hf_tokenizer.token_to_id
    prompt = [token("<|startoftranscript|>")]
    try:
        start = time.perf_counter()
        encoded = model.encode(windows)
        model.model.generate(
            encoded,
            [prompt] * size,
            beam_size=_BEAM,
            max_length=2 * _TOKENS,  # of which CTranslate2 gives half to the answer
            suppress_tokens=[token("<|endoftext|>")],
        )
        return time.perf_counter() - start
    except RuntimeError as error:
        if short_of_memory(error):
            return None
        raise
