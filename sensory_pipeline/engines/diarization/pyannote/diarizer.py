"""Diarization with pyannote.audio (https://github.com/pyannote/pyannote-audio): trained models, overlapped speech.

A pipeline of two networks: one finds up to three speakers in each window of some seconds, the other
makes an embedding of each; the embeddings are then clustered (A. Plaquet and H. Bredin, "Powerset
multi-class cross entropy loss for neural speaker diarization", Interspeech 2023; F. Landini et al.,
"Bayesian HMM clustering of x-vector sequences", Computer Speech & Language 2022).

On a GPU pyannote switches TensorFloat-32 off for the whole process, with each recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from sensory_pipeline.audio.waveform import SAMPLE_RATE
from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.errors import ConfigurationError, Terminal
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.activity_log import ActivityLog
from sensory_pipeline.engines.base import DiarizeJob, EngineInfo
from sensory_pipeline.engines.cache import LoadedModel, ModelCache
from sensory_pipeline.engines.catalogue.fetch import fetch
from sensory_pipeline.engines.catalogue.store import HOME, Store
from sensory_pipeline.engines.devices import CPU, Device, DeviceKind, choose
from sensory_pipeline.engines.diarization.open_networks import FILES
from sensory_pipeline.engines.diarization.pyannote.checkpoints import PipelineFolder
from sensory_pipeline.engines.diarization.pyannote.hub import PUBLISHED, PyannoteWeights, fetched, local
from sensory_pipeline.engines.diarization.pyannote.open_pipeline import OPEN, OpenPipeline
from sensory_pipeline.engines.diarization.pyannote.output import diarization_of
from sensory_pipeline.engines.diarization.pyannote.pipeline_loader import load_pipeline
from sensory_pipeline.engines.diarization.pyannote.warning_filter import silenced
from sensory_pipeline.engines.diarization.pyannote.window_batches import engine_error
from sensory_pipeline.engines.library_errors import FAULTS
from sensory_pipeline.engines.spec import CatalogueWeights, EngineChoice, EngineContext, EngineSpec, Weights

if TYPE_CHECKING:
    from sensory_pipeline.engines.diarization.pyannote.pipeline import FrugalDiarization

WINDOWS_AHEAD = {DeviceKind.CPU: 1, DeviceKind.CUDA: 128}
"""Windows at which recordings are processed without waiting for a further one: four full batches on a GPU. On a CPU,
whose batches are two windows, several recordings gain nothing. There each is processed alone, so that its result is
always the same to the last digit."""
_MOST_JOBS = 64  # taken together, each with its whole recording in memory

_SIZE_BYTES = 64 << 20  # expected, of the published networks; measured once they are loaded


class PyannoteDiarizer:
    """A Diarizer. Its model is loaded, and downloaded if needed, with the first job.

    Args:
        model: A folder with config.yaml, an id on https://huggingface.co, or "open". A model that was once downloaded
            is used as it is.
        device: Where it runs.
        cache: Holds the pipeline while it is loaded.
        token: Of an account that has accepted the model's terms, for a download.
        trusted_classes: Networks, as "module.Class", that checkpoints may use besides pyannote's own. Importing the
            module runs its code, so name only what you would import yourself.
        window_step: From one window to the next, as a fraction of a window; None for what the model says.
        windows_ahead: Number of windows at which recordings are processed together; None for what suits the device.
        store: Of fetched models, for those of "open".
        activity: Where to note what it does.
    """

    def __init__(
        self,
        model: str = PUBLISHED,
        *,
        device: Device = CPU,
        cache: ModelCache,
        token: SecretStr | None = None,
        trusted_classes: frozenset[str] = frozenset(),
        window_step: float | None = None,
        windows_ahead: int | None = None,
        store: Store = HOME,
        activity: ActivityLog | None = None,
    ) -> None:
        self._model = model
        self._device = device
        self._cache = cache
        self._token = token
        self._trusted_classes = trusted_classes
        self._window_step = window_step
        self._windows_ahead = windows_ahead or WINDOWS_AHEAD[device.kind]
        self._store = store
        self._activity = activity or ActivityLog()

    @property
    def info(self) -> EngineInfo:
        """A model of the hub is identified by its commit, a folder by its content, both also by a `window_step`.

        Downloads a model that is not here yet.

        Raises:
            ConfigurationError: The model cannot be had.
        """
        path = Path(self._model)
        name = path.resolve().name if path.is_dir() and self._model != OPEN else self._model
        step = "" if self._window_step is None else f" step {self._window_step:g}"
        revision = self._revision + step
        return EngineInfo(engine="pyannote", model=name, revision=revision, algorithm=3, device=self._device.name)

    def diarize(self, jobs: Iterable[DiarizeJob]) -> Iterator[tuple[str, Diarization | Terminal]]:
        """One result for each job, in any order.

        Jobs are collected until they have enough windows. A job that has enough by itself is processed alone. A
        requested number of speakers is kept if there is enough speech to distinguish as many.

        Raises:
            ConfigurationError: The model cannot be had, or is no diarization model.
        """
        group: list[DiarizeJob] = []
        waiting = 0  # windows of the group
        for job in jobs:
            if not job.pcm.duration_ms:
                yield job.key, Diarization(turns=(), exclusive=())
                continue
            with self._leased() as pipeline:
                windows = pipeline.windows(job.pcm.samples.shape[1])
            if group and windows >= self._windows_ahead:
                yield from self._answers(group)
                group, waiting = [], 0
            group.append(job)
            waiting += windows
            if waiting >= self._windows_ahead or len(group) == _MOST_JOBS:
                yield from self._answers(group)
                group, waiting = [], 0
        if group:
            yield from self._answers(group)

    @cached_property
    def _folder(self) -> Path:
        return local(self._model) or fetched(self._model, self._token)

    @cached_property
    def _revision(self) -> str:
        return self._read().revision

    def _read(self) -> PipelineFolder | OpenPipeline:
        if self._model == OPEN:
            return OpenPipeline.read(lambda name: fetch(name, self._store))
        return PipelineFolder.read(self._folder)

    @contextmanager
    def _leased(self) -> Iterator[FrugalDiarization]:
        key = f"pyannote {self._revision} {self._window_step} {self._device.name}"

        def load() -> LoadedModel[FrugalDiarization]:
            with self._activity.noting("host", "loading pyannote"):
                content = self._read()
                if content.revision != self._revision:
                    raise ConfigurationError(
                        f"the diarization model {self._model} changed while it was in use: start again"
                    )
                return load_pipeline(content, self._device, self._trusted_classes, window_step=self._window_step)

        with self._cache.lease(key, load, size_bytes=_SIZE_BYTES) as pipeline:
            yield pipeline

    def _answers(self, jobs: Sequence[DiarizeJob]) -> Iterator[tuple[str, Diarization | Terminal]]:
        import torch

        with self._leased() as pipeline:
            with silenced(), self._activity.noting("device", "pyannote"):
                files = [{"waveform": torch.from_numpy(job.pcm.samples), "sample_rate": SAMPLE_RATE} for job in jobs]
                faults = pipeline.run_networks(files)
            for number, job in enumerate(jobs):
                with self._activity.noting("host", "clustering voices"):
                    answer = faults.get(number) or _diarize(pipeline, files[number], job)
                yield job.key, answer


def _diarize(pipeline: FrugalDiarization, file: dict[str, Any], job: DiarizeJob) -> Diarization | Terminal:
    """Diarize a file that has been through the pipeline's networks."""
    settings = job.settings
    try:
        with silenced():
            output = pipeline(
                file,
                num_speakers=settings.speakers,
                min_speakers=settings.min_speakers,
                max_speakers=settings.max_speakers,
            )
    except FAULTS as error:
        return engine_error(error)
    return diarization_of(output, job.pcm.span)


def _make(choice: EngineChoice, context: EngineContext) -> PyannoteDiarizer:
    return PyannoteDiarizer(
        choice.pyannote_model,
        device=choose("auto" if choice.pyannote_use_gpu else "cpu", context.devices),
        cache=context.cache,
        token=choice.pyannote_auth_token,
        trusted_classes=choice.pyannote_trusted_classes,
        window_step=choice.pyannote_window_step,
        store=choice.store,
        activity=context.activity,
    )


def _weights(choice: EngineChoice) -> tuple[Weights, ...]:
    if choice.pyannote_model == OPEN:
        return tuple(CatalogueWeights(name=name, store=choice.store) for name in FILES)
    return (PyannoteWeights(model=choice.pyannote_model, store=choice.store, token=choice.pyannote_auth_token),)


ENGINE = EngineSpec(
    name="pyannote",
    stage=Stage.DIARIZATION,
    about="pyannote.audio: trained pipelines, best on a GPU",
    make=_make,
    settings=frozenset(
        {
            "pyannote_model",
            "pyannote_auth_token",
            "pyannote_use_gpu",
            "pyannote_window_step",
            "pyannote_trusted_classes",
        }
    ),
    model="pyannote_model",
    packages=("torch", "pyannote.audio"),
    weights=_weights,
)
