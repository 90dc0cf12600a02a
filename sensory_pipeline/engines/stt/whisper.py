"""Whisper (arXiv 2212.04356), run by faster-whisper and CTranslate2.

Each recording is cut into clips of speech; clips of many recordings are decoded together. A clip does
not get the text of the one before, so that an error in one clip cannot spread to the next. A clip whose text fails a
threshold is decoded again alone, at higher temperatures. These draw at random, so the text may differ each time. A
clip in which speech was skipped is cut in two, and the half that lacks it is decoded again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from sensory_pipeline.core.errors import ConfigurationError, EngineError, Terminal, UnsupportedLanguage, brief
from sensory_pipeline.core.process_request import TranscriptionSettings
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.engines.activity_log import ActivityLog
from sensory_pipeline.engines.base import EngineInfo, TranscribeJob
from sensory_pipeline.engines.cache import LoadedModel, ModelCache
from sensory_pipeline.engines.catalogue.store import HOME, Store
from sensory_pipeline.engines.device_memory import gpu_name
from sensory_pipeline.engines.devices import ComputeType, Device, DeviceKind, choose, choose_compute_type
from sensory_pipeline.engines.library_errors import fewer_may_do
from sensory_pipeline.engines.spec import EngineChoice, EngineContext, EngineSpec, Weights
from sensory_pipeline.engines.stt.batch_size import SIZES, BatchSizes, fastest, seconds_of
from sensory_pipeline.engines.stt.whisper_models import MOST_WORKERS, WhisperFolder, load, resolve, weights_of
from sensory_pipeline.engines.stt.whisper_pipeline import WhisperPipeline

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

BATCH = 8
"""Default batch size in clips; _CLIPS_A_WORKER for each worker if that is more: alone, a clip takes a third longer to
decode."""
_CLIPS_A_WORKER = 4


class WhisperTranscriber:
    """A Transcriber. Its model is loaded, and downloaded if needed, with the first job.

    In batches, a segment is a whole clip. What a batch cannot do is done clip by clip: a first temperature above 0, and
    dropping improbable words surrounded by silence.

    Args:
        model: A name, a hub id or a folder (see whisper_models).
        device: Where it runs.
        compute_type: Precision.
        cache: Holds the model while it is loaded.
        store: Of fetched models.
        cpu_threads: On a CPU, shared by up to MOST_WORKERS workers, each with clips of its own. 0 means CTranslate2's
            own choice, with all threads on one clip. A GPU has MOST_WORKERS workers.
        batch_size: Clips decoded together, of any recordings, by all workers. 1 decodes them one after the other, with
            all threads. None takes the size remembered in `sizes`; if there is none, the fastest size is found and
            remembered there; without `sizes`, it is BATCH. The size is halved when the device's memory is too small for
            it.
        sizes: Remembered batch sizes.
        activity: Where to note what it does.
    """

    def __init__(
        self,
        model: str,
        *,
        device: Device,
        compute_type: ComputeType,
        cache: ModelCache,
        store: Store = HOME,
        cpu_threads: int = 0,
        batch_size: int | None = None,
        sizes: BatchSizes | None = None,
        activity: ActivityLog | None = None,
    ) -> None:
        self._model = model
        self._device = device
        self._compute_type = compute_type
        self._cache = cache
        self._store = store
        self._cpu_threads = cpu_threads
        self._batch_size = batch_size
        self._sequential = batch_size == 1
        self._sizes = sizes if batch_size is None else None
        self._activity = activity or ActivityLog()

    @property
    def info(self) -> EngineInfo:
        """The model is identified by its commit, or by the content of its folder.

        Raises:
            ConfigurationError: The model cannot be had.
        """
        folder = self._folder
        return EngineInfo(
            engine="whisper-sequential" if self._sequential else "whisper",
            model=folder.name,
            revision=folder.revision,
            algorithm=9,
            device=f"{self._device.name} {self._compute_type}",
            languages=self._languages,
        )

    def transcribe(self, jobs: Iterable[TranscribeJob]) -> Iterator[tuple[str, Transcript | Terminal]]:
        """One result for each job, in any order; PromptTooLong for a job whose prompt does not fit.

        Raises:
            UnsupportedLanguage: The model does not know a language that is asked for.
            ConfigurationError: The model cannot be had or loaded, or the device has too little memory for it.
        """
        remaining = iter(jobs)
        first = deque(islice(remaining, 1))
        if not first:
            return
        with self._leased() as model:
            pipeline = WhisperPipeline(
                model,
                size=lambda: self._size(model),
                sequential=self._sequential,
                fault=self._fault,
                activity=self._activity,
            )
            yield from pipeline.transcripts(self._checked(model, first, remaining))

    def _checked(
        self, model: WhisperModel, first: deque[TranscribeJob], others: Iterator[TranscribeJob]
    ) -> Iterator[TranscribeJob]:
        while first or (first := deque(islice(others, 1))):
            _check(model, first[0].settings, self._model)
            yield first.popleft()  # not bound to a name, so that it is freed before the next one comes

    @property
    def key(self) -> str:
        """The key of its model in the cache."""
        folder = self._folder
        threads = f"{self._cpu_threads} {'for one clip' if self._sequential else 'for as many'}"
        return f"whisper {folder.path} {folder.revision} {self._device.name} {self._compute_type} {threads}"

    @cached_property
    def _languages(self) -> frozenset[str]:
        return self._folder.languages

    @cached_property
    def _folder(self) -> WhisperFolder:
        return resolve(self._model, self._store)

    @contextmanager
    def _leased(self) -> Iterator[WhisperModel]:
        folder = self._folder

        def make() -> LoadedModel[WhisperModel]:
            with self._activity.noting("host", "loading Whisper"):
                return load(folder, self._device, self._compute_type, self._cpu_threads, workers=not self._sequential)

        with self._cache.lease(self.key, make, size_bytes=folder.size_bytes) as model:
            yield model

    @property
    def _weights(self) -> str:
        """What the batch size depends on, besides the device."""
        return f"whisper {self._folder.name} {self._folder.revision} {self._compute_type} {MOST_WORKERS} workers"

    def _size(self, model: WhisperModel) -> int:
        if self._batch_size is None and self._sizes is not None:
            self._batch_size = self._sizes.get(self._weights)
            if self._batch_size is None:
                with self._activity.noting("device", "finding the batch size"):
                    seconds_of(model, SIZES[0])  # the first calls are slower
                    self._batch_size = fastest(partial(seconds_of, model))
                self._sizes.keep(self._weights, self._batch_size)
        if self._batch_size is None:
            self._batch_size = max(BATCH, _CLIPS_A_WORKER * model.model.num_workers)
        return self._batch_size

    def _fault(self, error: Exception, clips: int) -> EngineError:
        """The error for the clips it came from; raises it again if it is not about them."""
        if fewer_may_do(error) and not isinstance(error, MemoryError):  # which is about this process
            if clips == 1:
                raise ConfigurationError(
                    f"{self._device.name} has too little memory for Whisper {self._model} in {self._compute_type} "
                    f"({error}): choose a smaller model or beam, or another compute type"
                ) from error
            size = self._batch_size or BATCH
            self._batch_size = min(size, clips // 2)
            if self._sizes is not None and clips >= size:  # a smaller batch may fail because of another process
                self._sizes.keep(self._weights, self._batch_size)
        return EngineError(f"Whisper gave up: {brief(error)}")


def _check(model: WhisperModel, settings: TranscriptionSettings, name: str) -> None:
    known = [code for code in model.supported_languages if model.hf_tokenizer.token_to_id(f"<|{code}|>") is not None]
    if unknown := settings.asked_languages - set(known):
        raise UnsupportedLanguage(
            f"Whisper {name} does not know the language {min(unknown)!r}, only {', '.join(known)}: "
            "choose one of them, or 'auto', or another model"
        )


def _make(choice: EngineChoice, context: EngineContext) -> WhisperTranscriber:
    device = choose(choice.whisper_device, context.devices)
    return WhisperTranscriber(
        choice.whisper_model_size,
        device=device,
        compute_type=choose_compute_type(choice.whisper_compute_type, device),
        cache=context.cache,
        store=choice.store,
        cpu_threads=choice.whisper_cpu_threads,
        batch_size=choice.whisper_batch_size,
        sizes=_batch_sizes(choice, device),
        activity=context.activity,
    )


def _batch_sizes(choice: EngineChoice, device: Device) -> BatchSizes | None:
    """Remembered sizes for a GPU; on a CPU all sizes are equally fast."""
    if device.kind is DeviceKind.CPU:
        return None
    path = Path.home() / ".cache" / "sensory_pipeline" / "batch_sizes.json"
    return BatchSizes(path=path, place=gpu_name(device, choice.visible_devices))


def _weights(choice: EngineChoice) -> tuple[Weights, ...]:
    found = weights_of(choice.whisper_model_size, choice.store)
    return () if found is None else (found,)


ENGINE = EngineSpec(
    name="whisper",
    stage=Stage.TRANSCRIPTS,
    about="Whisper, run by CTranslate2",
    make=_make,
    settings=frozenset(
        {"whisper_model_size", "whisper_device", "whisper_compute_type", "whisper_cpu_threads", "whisper_batch_size"}
    ),
    model="whisper_model_size",
    weights=_weights,
)
