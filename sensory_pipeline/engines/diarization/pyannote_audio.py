"""pyannote.audio (https://github.com/pyannote/pyannote-audio): trained models, and people who talk at once.

A pipeline of two networks: one finds up to three voices in each window of some seconds, the other
turns each of them into a vector; the vectors are then clustered (A. Plaquet and H. Bredin, "Powerset
multi-class cross entropy loss for neural speaker diarization", Interspeech 2023; F. Landini et al.,
"Bayesian HMM clustering of x-vector sequences", Computer Speech & Language 2022).

On a GPU pyannote switches TensorFloat-32 off for the whole process, with each recording.
"""

from __future__ import annotations

import os
import re
import textwrap
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from sensory_pipeline.audio.pcm import SAMPLE_RATE
from sensory_pipeline.core.diarization import Diarization, SpeakerEmbedding, Turn, label
from sensory_pipeline.core.errors import ConfigurationError, EngineError, Terminal
from sensory_pipeline.core.spans import Span
from sensory_pipeline.engines.base import DiarizeJob, EngineInfo
from sensory_pipeline.engines.cache import LoadedModel, ModelCache
from sensory_pipeline.engines.devices import CPU, Device
from sensory_pipeline.engines.diarization.checkpoints import CONFIG, NETWORK, PipelineConfig, PipelineFolder

if TYPE_CHECKING:
    from sensory_pipeline.engines.diarization.pipeline import FrugalDiarization

PUBLISHED = "pyannote/speaker-diarization-community-1"
"""On https://huggingface.co, for those who accept its terms."""

_SIZE_BYTES = 64 << 20  # expected, of the published networks; measured once they are loaded
_FAILURES = (ArithmeticError, AssertionError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)
"""What numerical code raises on an odd recording, and torch when memory is short."""

_silence = threading.Lock()  # which warnings are shown is a setting of the process


class PyannoteDiarizer:
    """A Diarizer. Its model is loaded, and downloaded if need be, with the first job.

    model: a folder with config.yaml, or an id on https://huggingface.co; what was once downloaded
    is used as it is. cache: where the pipeline lives while it is loaded. token: of an account that
    has accepted the model's terms, for a download. trusted_classes: networks, as "module.Class",
    which checkpoints may be of besides pyannote's own: importing the module runs its code, so name
    only what you would import yourself.
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
    ) -> None:
        self._model = model
        self._device = device
        self._cache = cache
        self._token = token
        self._trusted_classes = trusted_classes
        self._window_step = window_step

    @property
    def info(self) -> EngineInfo:
        """A model of the hub is known by its commit, a folder by what is in it, wherever it lies; with a step
        of its own also by that.

        Downloads a model that is not here yet. Raises ConfigurationError when it cannot be had.
        """
        path = Path(self._model)
        name = path.resolve().name if path.is_dir() else self._model
        step = "" if self._window_step is None else f" step {self._window_step:g}"
        revision = self._revision + step
        return EngineInfo(engine="pyannote", model=name, revision=revision, algorithm=2, device=self._device.name)

    def diarize(self, jobs: Iterable[DiarizeJob]) -> Iterator[tuple[str, Diarization | Terminal]]:
        """One answer a job, in order of the jobs.

        A wanted number of speakers is kept as far as there is speech enough to tell so many apart.
        Raises ConfigurationError when the model cannot be had, or is none.
        """
        for job in jobs:
            yield job.key, self._answer(job)

    @cached_property
    def _folder(self) -> Path:
        return local(self._model) or _fetched(self._model, self._token)

    @cached_property
    def _revision(self) -> str:
        return _revision(PipelineFolder.read(self._folder))

    def _answer(self, job: DiarizeJob) -> Diarization | Terminal:
        if not job.pcm.duration_ms:
            return Diarization(turns=(), exclusive=())
        key = f"pyannote {self._revision} {self._window_step} {self._device.name}"
        load = partial(
            _load, self._folder, self._revision, self._device, self._trusted_classes, window_step=self._window_step
        )
        with self._cache.lease(key, load, size_bytes=_SIZE_BYTES) as pipeline:
            return _diarize(pipeline, job)


def local(model: str) -> Path | None:
    """The folder of a model, if it is on this machine in full. Raises ConfigurationError for what names none."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    path = Path(model)
    if path.is_dir():
        return path
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", model) is None:
        raise ConfigurationError(
            f"there is no diarization model {model!r}: set PYANNOTE_MODEL to a folder that holds one (its "
            f"{CONFIG} and what that names), or to its id on https://huggingface.co, such as {PUBLISHED}"
        )
    try:
        folder = _snapshot(model, local_files_only=True)
    except LocalEntryNotFoundError:
        return None
    return folder if _complete(folder) else None


def _fetched(model: str, token: SecretStr | None) -> Path:
    try:
        return _snapshot(model, token=token.get_secret_value() if token else None)
    except (OSError, ValueError) as error:
        reason = textwrap.shorten(f"{type(error).__name__}: {error}", 300)
        raise ConfigurationError(
            f"cannot download the diarization model {model} ({reason}). Accept its terms on "
            f"https://huggingface.co/{model}, make a token on https://huggingface.co/settings/tokens and set "
            "PYANNOTE_AUTH_TOKEN to it. Where there is no network, copy the model's folder from a machine that "
            "has one, and set PYANNOTE_MODEL to its path: PYANNOTE_MODEL=/path/to/folder"
        ) from error


def _snapshot(model: str, **options: Any) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(model, allow_patterns=[CONFIG, f"*/{NETWORK}", "*/*.npz"], **options))


def _complete(folder: Path) -> bool:
    """Whether a download went through to its end."""
    config = folder / CONFIG
    if not config.is_file():
        return False
    return all((folder / name).is_file() for name in PipelineConfig.parse(config.read_bytes(), config).files)


def _revision(content: PipelineFolder) -> str:
    folder = content.folder.resolve()
    return folder.name if folder.parent.name == "snapshots" else content.digest


def _load(
    folder: Path,
    revision: str,
    device: Device,
    trusted_classes: frozenset[str],
    *,
    window_step: float | None,
) -> LoadedModel[FrugalDiarization]:
    content = PipelineFolder.read(folder)
    if _revision(content) != revision:
        raise ConfigurationError(f"the diarization model in {folder} changed while it was in use: start again")
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"  # noqa: TID251  else pyannote reports each recording to its makers
    try:
        with _silenced():
            import torch

            pipeline, networks = content.pipeline(trusted_classes, window_step)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"pyannote needs {error.name}: run `make models`, or choose SENSORY_DIARIZATION=offline"
        ) from error
    pipeline.to(torch.device(device.torch_name))
    return LoadedModel(
        model=pipeline,
        size_bytes=sum(tensor.nbytes for network in networks for tensor in network.state_dict().values()),
        unload=partial(pipeline.to, torch.device("meta")),
    )


@contextmanager
def _silenced() -> Iterator[None]:
    """One thread at a time, without pyannote's warnings, which nobody can act on.

    They are of libraries that would read audio files, of means of nothing, of speakers that are
    fewer than wanted, of TensorFloat-32.
    """
    with _silence, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _diarize(pipeline: FrugalDiarization, job: DiarizeJob) -> Diarization | Terminal:
    import torch

    settings = job.settings
    try:
        with _silenced():
            output = pipeline(
                {"waveform": torch.from_numpy(job.pcm.samples), "sample_rate": SAMPLE_RATE},
                num_speakers=settings.speakers,
                min_speakers=settings.min_speakers,
                max_speakers=settings.max_speakers,
            )
    except _FAILURES as error:
        reason = textwrap.shorten(f"{type(error).__name__}: {error}", 300)
        return EngineError(
            f"pyannote failed on this recording ({reason}); if memory is short, process it on another device or cut it"
        )
    return _diarization(output, job.pcm.span)


def _diarization(output: Any, recording: Span) -> Diarization:
    """output: pyannote's DiarizeOutput."""
    turns = _tracks(output.speaker_diarization, recording)
    exclusive = _tracks(output.exclusive_speaker_diarization, recording)
    appearing = dict.fromkeys(speaker for _, speaker in chain(turns, exclusive))
    names = {speaker: label(index) for index, speaker in enumerate(appearing)}
    # a speaker whom no window shows well enough has zeros, or nothing, for a vector
    vectors = {
        names[speaker]: tuple(vector.tolist())
        for speaker, vector in zip(output.speaker_diarization.labels(), output.speaker_embeddings, strict=True)
        if speaker in names and vector.any() and abs(vector).max() < float("inf")
    }
    return Diarization(
        turns=tuple(Turn(span=span, speaker=names[speaker]) for span, speaker in turns),
        exclusive=tuple(Turn(span=span, speaker=names[speaker]) for span, speaker in exclusive),
        embeddings=tuple(SpeakerEmbedding(speaker=name, vector=vectors[name]) for name in sorted(vectors)),
    )


def _tracks(annotation: Any, recording: Span) -> list[tuple[Span, str]]:
    """Turns of a pyannote.core Annotation inside the recording, in order of time, with pyannote's labels."""
    tracks = (
        (Span.from_seconds(segment.start, segment.end).clip(recording), str(speaker))
        for segment, _, speaker in annotation.itertracks(yield_label=True)
    )
    return sorted((span, speaker) for span, speaker in tracks if span.duration_ms)
