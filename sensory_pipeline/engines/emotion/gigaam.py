"""GigaAM-Emo (https://github.com/salute-developers/GigaAM): a trained model with a result for every 40 ms.

It was trained on Russian speech (Dusha; macro F1 0.84 on its crowd part, 0.67 on podcasts), so its results
for other languages carry the caveat "out_of_language".

A turn goes through the network once, in a batch with turns of this and other recordings. A turn that is too long goes
through in parts. A window's result is the mean of its frames' logits, so running sums give it for any window, and the
result of a whole turn is exactly the network's own. A window with little voice is shrunk toward its turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.core.arrays import Doubles, Floats
from sensory_pipeline.core.emotions import Emotion
from sensory_pipeline.core.errors import ConfigurationError, EngineError, Terminal, brief
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.activity_log import ActivityLog
from sensory_pipeline.engines.base import ClassifyJob, EngineInfo
from sensory_pipeline.engines.cache import CacheSettings, LoadedModel, ModelCache
from sensory_pipeline.engines.catalogue.fetch import fetch
from sensory_pipeline.engines.catalogue.store import HOME, Store, digest
from sensory_pipeline.engines.devices import choose
from sensory_pipeline.engines.emotion.gigaam_checkpoint import LISTED, PUBLISHED, existing_checkpoint, load_network
from sensory_pipeline.engines.emotion.job_logits import JobLogits
from sensory_pipeline.engines.halving import halving
from sensory_pipeline.engines.library_errors import fewer_may_do
from sensory_pipeline.engines.spec import CatalogueWeights, EngineChoice, EngineContext, EngineSpec, Weights

if TYPE_CHECKING:
    from sensory_pipeline.engines.emotion.emotion_network import EmotionNetwork

ClassifyResult = tuple[str, "tuple[Emotion, ...] | Terminal"]
Piece = tuple[Span, JobLogits]
"""A part that goes through the network at once, and its job."""

_FILE = "emo.ckpt"

BATCH_ON_GPU_S, BATCH_ON_CPU_S = 100.0, 10.0
"""Seconds of sound in a batch; 100 take 1.5 GB besides the weights. On a CPU, words and short turns share a batch, so
that the weights are read once. Longer sound is fastest alone: 0.30 CPU seconds for a second of sound, against 0.37 in
batches of 20 s."""

_SHORTEST = SAMPLE_RATE // 40  # samples: one window of the spectrogram
_LOOK_AHEAD = 2  # batches, so that turns of similar length meet
_MOST_JOBS = 64  # waiting, each with its whole recording in memory
_MOST_TURNS = 32  # in a batch; with more, CUDA's convolutions fail


class GigaamClassifier:
    """An EmotionClassifier. Its model is loaded, and downloaded if needed, with the first job.

    Args:
        model: "emo", or the path of a checkpoint in its format.
        device: As torch names it; on a GPU the encoder computes in half precision.
        batch_s: Seconds of sound, padding included, that go through the network at once; None for what suits the
            device. Lowered when the device's memory is too small.
        cache: Holds the model while it is loaded; None for a cache of its own.
        store: Of fetched models.
        activity: Where to note what it does.
    """

    def __init__(
        self,
        model: str,
        *,
        device: str = "cpu",
        batch_s: float | None = None,
        cache: ModelCache | None = None,
        store: Store = HOME,
        activity: ActivityLog | None = None,
    ) -> None:
        self._model = model
        self._store = store
        self._device = device
        self._batch_s = batch_s or (BATCH_ON_GPU_S if device.startswith("cuda") else BATCH_ON_CPU_S)
        self._cache = cache or ModelCache(CacheSettings(ttl_s=None))
        self._activity = activity or ActivityLog()

    @property
    def info(self) -> EngineInfo:
        """A checkpoint is identified by its content.

        Raises:
            ConfigurationError: It is not there.
        """
        if self._model == PUBLISHED:
            name, md5 = PUBLISHED, self._store.catalogue.known(LISTED).files[_FILE].md5
        else:
            path = existing_checkpoint(Path(self._model))
            name, md5 = path.stem, digest(path, "md5")
        return EngineInfo(engine="gigaam", model=name, revision=str(md5)[:12], algorithm=2, device=self._device)

    @property
    def key(self) -> str:
        """The key of its model in the cache."""
        return f"gigaam {self.info.revision} {self._device}"

    def classify(self, jobs: Iterable[ClassifyJob]) -> Iterator[ClassifyResult]:
        """One result for each job, as soon as its last turn is computed; takes some batches of jobs ahead.

        Raises:
            ConfigurationError: The model cannot be had.
        """
        waiting: list[JobLogits] = []
        seconds = 0.0
        for logits in map(JobLogits, jobs):
            if not logits.missing:
                yield logits.job.key, logits.emotions()
                continue
            waiting.append(logits)
            seconds += sum(piece.duration_s for piece in logits.missing)
            if seconds >= _LOOK_AHEAD * self._batch_s or len(waiting) == _MOST_JOBS:
                yield from self._computed(waiting)
                waiting, seconds = [], 0.0
        if waiting:
            yield from self._computed(waiting)

    def _computed(self, jobs: Sequence[JobLogits]) -> Iterator[ClassifyResult]:
        pieces = [(piece, logits) for logits in jobs for piece in logits.missing]
        # from short to long, so that little is padded
        left = deque(sorted(pieces, key=lambda item: item[0].duration_ms))
        with self._network() as network:
            while left:
                batch = _batch(left, self._batch_s)
                for (piece, logits), found in zip(batch, self._frame_logits(network, batch), strict=True):
                    if logits.failed:
                        continue
                    if isinstance(found, EngineError):
                        logits.failed = True
                        left = deque(item for item in left if item[1] is not logits)
                        yield logits.job.key, found
                        continue
                    logits.add(piece, found)
                    if not logits.missing:
                        with self._activity.noting("host", "answering"):
                            emotions = logits.emotions()
                        yield logits.job.key, emotions

    def _frame_logits(self, network: EmotionNetwork, batch: Sequence[Piece]) -> list[Doubles | EngineError]:
        """The logits of each piece, or the error it fails with."""

        def compute(part: Sequence[Piece]) -> list[Doubles]:
            with self._activity.noting("device", "gigaam"):
                sounds = [_sound(logits.job.pcm, piece) for piece, logits in part]
                return [found.astype(np.float64) for found in network.frame_logits(sounds)]

        return halving(batch, compute, self._fault)

    def _fault(self, error: Exception, batch: Sequence[Piece]) -> EngineError:
        """The error for the batch it came from; raises it again if it is not about the batch."""
        short, reason = fewer_may_do(error), brief(error)
        if not short:
            return EngineError(f"GigaAM gave up: {reason}")
        seconds = max(piece.duration_s for piece, _ in batch)
        fault = (
            f"{self._device} has too little memory for GigaAM on {seconds:.0f} s of speech ({reason}): see what else "
            "uses it, or set SENSORY_SIDE_BY_SIDE=false"
        )
        if len(batch) > 1:
            self._batch_s = min(self._batch_s, len(batch) * seconds / 2)
        elif self._device.startswith("cuda"):  # all pieces would fail, maybe because of another process
            raise ConfigurationError(fault) from error
        return EngineError(fault)

    @contextmanager
    def _network(self) -> Iterator[EmotionNetwork]:
        path = (
            fetch(LISTED, self._store) / _FILE if self._model == PUBLISHED else existing_checkpoint(Path(self._model))
        )

        def load() -> LoadedModel[EmotionNetwork]:
            with self._activity.noting("host", "loading GigaAM"):
                return load_network(path, self._device)

        with self._cache.lease(self.key, load, size_bytes=path.stat().st_size) as network:
            yield network


def _sound(pcm: Waveform, piece: Span) -> Floats:
    """The samples of a piece, padded with silence to a window of the spectrogram."""
    end_ms = piece.end_ms + (piece.end_ms == pcm.duration_ms)  # samples left over by rounding to milliseconds
    sound = pcm.cut(Span(start_ms=piece.start_ms, end_ms=end_ms)).mono()
    return np.pad(sound, (0, max(0, _SHORTEST - len(sound))))


def _batch(left: deque[Piece], seconds: float) -> list[Piece]:
    """Take the first pieces, at least one, with at most `seconds` of sound, padding included."""
    batch = [left.popleft()]
    while left and len(batch) < _MOST_TURNS and (len(batch) + 1) * left[0][0].duration_s <= seconds:
        batch.append(left.popleft())
    return batch


def _make(choice: EngineChoice, context: EngineContext) -> GigaamClassifier:
    device = choose("auto", context.devices)
    return GigaamClassifier(
        choice.gigaam_model_name,
        device=device.torch_name,
        cache=context.cache,
        store=choice.store,
        activity=context.activity,
    )


def _weights(choice: EngineChoice) -> tuple[Weights, ...]:
    return (CatalogueWeights(name=LISTED, store=choice.store),) if choice.gigaam_model_name == PUBLISHED else ()


ENGINE = EngineSpec(
    name="gigaam",
    stage=Stage.EMOTIONS,
    about="GigaAM-Emo, trained on Russian",
    make=_make,
    settings=frozenset({"gigaam_model_name"}),
    model="gigaam_model_name",
    packages=("torch",),
    weights=_weights,
)
