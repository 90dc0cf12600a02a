"""How many clips Whisper decodes at once on a GPU: measured when its model is first loaded there, and remembered."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import PositiveInt, TypeAdapter, ValidationError

from sensory_pipeline.engines.library_errors import short_of_memory
from sensory_pipeline.engines.stt.worker_shares import shares
from sensory_pipeline.storage.files import write_text_atomically
from sensory_pipeline.storage.lock import held

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

log = logging.getLogger(__name__)

SIZES = (8, 16, 32, 64, 128)
_WORTH = 1.1  # least gain in clips per second for twice the memory
_BEAM = 5
_TOKENS = 32  # decoded for each clip of a trial
_FRAMES = 3000  # of a window of 30 s
_FILE = TypeAdapter(dict[str, PositiveInt])


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSizes:
    """A file with the batch sizes that were found.

    Attributes:
        path: The file.
        place: The device the sizes are for, such as the name of a GPU.
    """

    path: Path
    place: str

    def get(self, model: str) -> int | None:
        """The size that is remembered; None if there is none.

        Args:
            model: With its revision and precision.
        """
        return self._all().get(f"{self.place}: {model}")

    def keep(self, model: str, size: int) -> None:
        """Remember a size, if the file can be written."""
        try:
            with held(self.path.with_suffix(".lock"), what="the sizes of batches"):
                sizes = {**self._all(), f"{self.place}: {model}": size}
                write_text_atomically(self.path, json.dumps(sizes, indent=1, sort_keys=True) + "\n")
        except OSError as error:
            log.warning("%s cannot be written (%s): the batch size is measured again next time", self.path, error)

    def _all(self) -> dict[str, int]:
        try:
            return _FILE.validate_json(self.path.read_bytes())
        except (OSError, ValidationError):  # none yet, or not ours
            return {}


def fastest(measure: Callable[[int], float | None]) -> int:
    """The smallest of SIZES beyond which doubling is no longer clearly faster.

    >>> fastest(lambda size: None if size > 16 else 1.0)
    16
    >>> fastest(lambda size: size / min(size, 32))
    32

    Args:
        measure: Seconds that a batch of a size takes; None if the memory is too small for it.
    """
    best, rate = SIZES[0], 0.0
    for size in SIZES:
        seconds = measure(size)
        if seconds is None or size / seconds < rate * _WORTH:
            break
        best, rate = size, size / seconds
    return best


def seconds_of(model: WhisperModel, size: int) -> float | None:
    """Seconds that a batch of `size` full windows takes on the model's device; None if its memory is too small.

    Each worker of the model takes its share, as in whisper_batches.
    """
    noise = np.random.default_rng(0).standard_normal((size, model.feature_extractor.mel_filters.shape[0], _FRAMES))
    windows = np.asarray(noise, np.float32)
    token = model.hf_tokenizer.token_to_id
    prompt = [token("<|startoftranscript|>")]

    def decode(share: Sequence[int]) -> None:
        model.model.generate(
            model.encode(windows[share[0] : share[-1] + 1]),
            [prompt] * len(share),
            beam_size=_BEAM,
            max_length=2 * _TOKENS,  # of which CTranslate2 uses half for the text
            suppress_tokens=[token("<|endoftext|>")],
        )

    workers = model.model.num_workers
    try:
        with ThreadPoolExecutor(workers) as pool:
            start = time.perf_counter()
            list(pool.map(decode, shares(range(size), workers)))
            return time.perf_counter() - start
    except RuntimeError as error:
        if short_of_memory(error):
            return None
        raise
