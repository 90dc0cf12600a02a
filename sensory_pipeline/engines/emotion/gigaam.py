"""GigaAM-Emo (https://github.com/salute-developers/GigaAM): a trained model, asked about every 40 ms.

It was trained on Russian speech (Dusha; macro F1 0.84 on its crowd part, 0.67 on podcasts), so what it
says of another language carries the caveat "out_of_language".

A turn goes through the network once, in a batch with turns of this and other recordings; so does each
part of one that is too long to be heard at once. A window's answer is the mean of its frames' logits,
so running sums give it for any window, and a turn asked about as a whole gets exactly what the network
says of its sound. A window with little voice in it is shrunk toward its turn.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from sensory_pipeline.audio.pcm import SAMPLE_RATE, Pcm
from sensory_pipeline.core.emotions import LABELS, Caveat, Emotion, EmotionScores, EmotionWindow, trust
from sensory_pipeline.core.errors import ConfigurationError, EmptyAudio, EngineError, Terminal
from sensory_pipeline.core.pauses import parts
from sensory_pipeline.core.spans import Span
from sensory_pipeline.engines.base import ClassifyJob, EngineInfo
from sensory_pipeline.engines.cache import CacheSettings, LoadedModel, ModelCache
from sensory_pipeline.engines.emotion import pitch
from sensory_pipeline.engines.emotion.checkpoint import read_checkpoint
from sensory_pipeline.engines.emotion.published import EMO, md5

if TYPE_CHECKING:
    from sensory_pipeline.engines.emotion.conformer import EmotionNetwork

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Answer = tuple[str, "tuple[Emotion, ...] | Terminal"]

PUBLISHED = "emo"
"""The name of the model its authors publish; any other is the path of a checkpoint."""

LANGUAGE = "ru"
LONGEST_MS = 30_000
"""A longer turn is cut in pieces, since attention grows with the square of the length."""

_FRAME_MS = 40  # frame i is centred on i * _FRAME_MS
_SHORTEST = SAMPLE_RATE // 40  # samples: one window of the spectrogram
_LOOK_AHEAD = 4  # batches, so that turns of similar length meet
_MOST_JOBS = 64  # waiting, each with its whole recording in memory
_MOST_TURNS = 32  # in a batch: beyond it CUDA's convolutions fail


class GigaamClassifier:
    """An EmotionClassifier. Its model is loaded, and downloaded if need be, with the first job.

    model: "emo", or the path of a checkpoint in its format. device: as torch names it; on a GPU the
    encoder computes in half precision. batch_s: seconds of sound, padding included, that go through
    the network at once; 100 take 1.5 GB beside the weights. cache: where the model lives while it is
    loaded; one of its own by default.
    """

    def __init__(
        self, model: str, *, device: str = "cpu", batch_s: float = 100.0, cache: ModelCache | None = None
    ) -> None:
        self._model = model
        self._device = device
        self._batch_s = batch_s
        self._cache = cache or ModelCache(CacheSettings(ttl_s=None))

    @property
    def info(self) -> EngineInfo:
        """A checkpoint is known by what is in it, wherever it lies. Raises ConfigurationError when it is not there."""
        path = Path(self._model)
        name, digest = (PUBLISHED, EMO.md5) if self._model == PUBLISHED else (path.stem, md5(_present(path)))
        return EngineInfo(engine="gigaam", model=name, revision=digest[:12], algorithm=2, device=self._device)

    def classify(self, jobs: Iterable[ClassifyJob]) -> Iterator[Answer]:
        """One answer a job, as soon as its last turn is through; takes some batches of jobs ahead.

        Raises ConfigurationError when the model cannot be had.
        """
        waiting: list[_Inquiry] = []
        seconds = 0.0
        for inquiry in map(_Inquiry, jobs):
            if not inquiry.missing:
                yield inquiry.job.key, inquiry.answer()
                continue
            waiting.append(inquiry)
            seconds += sum(piece.duration_s for piece in inquiry.missing)
            if seconds >= _LOOK_AHEAD * self._batch_s or len(waiting) == _MOST_JOBS:
                yield from self._answers(waiting)
                waiting, seconds = [], 0.0
        if waiting:
            yield from self._answers(waiting)

    def _answers(self, inquiries: Sequence[_Inquiry]) -> Iterator[Answer]:
        pieces = [(piece, inquiry) for inquiry in inquiries for piece in inquiry.missing]
        with self._network() as network:
            for batch in _batches(pieces, self._batch_s):
                sounds = [_heard(inquiry.job.pcm, piece) for piece, inquiry in batch]
                for (piece, inquiry), logits in zip(batch, network.frame_logits(sounds), strict=True):
                    inquiry.add(piece, logits.astype(np.float64))
                    if not inquiry.missing:
                        yield inquiry.job.key, inquiry.answer()

    @contextmanager
    def _network(self) -> Iterator[EmotionNetwork]:
        path = EMO.fetch(Path.home() / ".cache") if self._model == PUBLISHED else _present(Path(self._model))
        key = f"gigaam {md5(path)} {self._device}"
        with self._cache.lease(key, partial(_load, path, self._device), size_bytes=path.stat().st_size) as network:
            yield network


class _Inquiry:
    """A job on its way. turns: the pieces of each; missing: those of them still without logits."""

    def __init__(self, job: ClassifyJob) -> None:
        self.job = job
        self.turns = {window.turn: _pieces(window.parts or (window.turn,)) for window in job.windows}
        self.missing = {piece for pieces in self.turns.values() for piece in pieces} if job.pcm.samples.size else set()
        self._logits: dict[Span, Doubles] = {}

    def add(self, piece: Span, logits: Doubles) -> None:
        """logits: shape (frames, labels)."""
        self._logits[piece] = logits
        self.missing.remove(piece)

    def answer(self) -> tuple[Emotion, ...] | Terminal:
        """Once nothing is missing."""
        job = self.job
        if not job.windows:
            return ()
        if not job.pcm.samples.size:
            return EmptyAudio("there is no sound in it to hear an emotion in")
        if not all(np.isfinite(logits).all() for logits in self._logits.values()):
            return EngineError("the emotion model's numbers overflow on this sound; try it on the CPU")
        voiced = np.pad((pitch.track(job.pcm).f0_hz > 0).cumsum(), (1, 0))
        turns = {
            turn: _Turn.joined([(piece.start_ms, self._logits[piece]) for piece in pieces])
            for turn, pieces in self.turns.items()
        }
        caveat: Caveat | None = None if job.language in (None, LANGUAGE) else "out_of_language"
        return tuple(
            _emotion(window, turns[window.turn], _voiced_ms(voiced, window.span), caveat) for window in job.windows
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Turn:
    """times_ms: of its frames' centres, ascending; sums: running sums of logits, (frames + 1, labels)."""

    times_ms: npt.NDArray[np.int64]
    sums: Doubles

    @classmethod
    def joined(cls, pieces: Sequence[tuple[int, Doubles]]) -> Self:
        """Of pieces in order: where each starts, in ms, and its logits."""
        times_ms = np.concatenate([start_ms + _FRAME_MS * np.arange(len(logits)) for start_ms, logits in pieces])
        sums = np.concatenate([logits for _, logits in pieces]).cumsum(axis=0)
        return cls(times_ms=times_ms, sums=np.pad(sums, ((1, 0), (0, 0))))

    def mean(self, span: Span) -> Doubles:
        """Over frames centred between both ends of the span; over the nearest one where there is none."""
        first = int(np.searchsorted(self.times_ms, span.start_ms, side="left"))
        last = int(np.searchsorted(self.times_ms, span.end_ms, side="right"))
        if first == last:
            first = int(np.abs(2 * self.times_ms - span.start_ms - span.end_ms).argmin())
            last = first + 1
        mean: Doubles = (self.sums[last] - self.sums[first]) / (last - first)
        return mean


def _emotion(window: EmotionWindow, turn: _Turn, voiced_ms: int, caveat: Caveat | None) -> Emotion:
    around = turn.mean(window.turn)
    logits = around + trust(voiced_ms) * (turn.mean(window.span) - around)
    odds = np.exp(logits - logits.max())
    return Emotion(
        window=window,
        scores=EmotionScores(**dict(zip(LABELS, (odds / odds.sum()).tolist(), strict=True))),
        arousal=None,
        voiced_ms=voiced_ms,
        caveat=caveat,
    )


def _voiced_ms(voiced: npt.NDArray[np.int64], span: Span) -> int:
    """How much of the span carries voice. voiced: how many frames before each do, shape (frames + 1,)."""
    first, last = (min(pitch.frame_at(ms), len(voiced) - 1) for ms in (span.start_ms, span.end_ms))
    return min(int(voiced[last] - voiced[first]) * pitch.FRAME_MS, span.duration_ms)


def _pieces(spans: Sequence[Span]) -> tuple[Span, ...]:
    """The spans, each in as few equal pieces as `LONGEST_MS` allows."""
    return tuple(piece for span in spans for piece in parts(span, LONGEST_MS))


def _heard(pcm: Pcm, piece: Span) -> Floats:
    """Its samples, filled up with silence to a window of the spectrogram."""
    end_ms = piece.end_ms + (piece.end_ms == pcm.duration_ms)  # what rounding to milliseconds left over
    sound = pcm.cut(Span(start_ms=piece.start_ms, end_ms=end_ms)).mono()
    return np.pad(sound, (0, max(0, _SHORTEST - len(sound))))


def _batches(pieces: Iterable[tuple[Span, _Inquiry]], seconds: float) -> Iterator[list[tuple[Span, _Inquiry]]]:
    """From short to long, each with at most so many seconds, padding included, but one piece at least."""
    batch: list[tuple[Span, _Inquiry]] = []
    for piece, inquiry in sorted(pieces, key=lambda item: item[0].duration_ms):
        if batch and (len(batch) == _MOST_TURNS or (len(batch) + 1) * piece.duration_s > seconds):
            yield batch
            batch = []
        batch.append((piece, inquiry))
    yield batch


def _present(path: Path) -> Path:
    if not path.is_file():
        raise ConfigurationError(
            f"there is no emotion model {str(path)!r}: set GIGAAM_MODEL_NAME to {PUBLISHED!r}, which is downloaded "
            f"from {EMO.url}, or to the path of a copy of that file"
        )
    return path


def _load(path: Path, device: str) -> LoadedModel[EmotionNetwork]:
    tensors = read_checkpoint(path)
    try:
        from sensory_pipeline.engines.emotion.conformer import EmotionNetwork
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"GigaAM-Emo needs {error.name}: run `make models`, or choose SENSORY_EMOTION=prosody"
        ) from error
    try:
        network = EmotionNetwork.restored(tensors, labels=len(LABELS))
    except (LookupError, RuntimeError, ValueError) as error:
        reason = textwrap.shorten(f"{type(error).__name__}: {error}", 300)
        raise ConfigurationError(
            f"{path} holds another model than GigaAM-Emo ({reason}); what is needed is {EMO.url}"
        ) from error
    if device.startswith("cuda"):
        network.encoder.half()
    network.to(device)
    size_bytes = sum(tensor.nbytes for tensor in network.state_dict().values())
    return LoadedModel(model=network, size_bytes=size_bytes, unload=partial(network.to, "meta"))
