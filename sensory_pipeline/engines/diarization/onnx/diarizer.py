"""Diarization by trained networks in onnxruntime: the default, on any machine, without torch, token or model hub.

The steps are those of pyannote.audio: segmentation (who of up to three people speaks in each window of ten seconds;
segmentation-3.0), an embedding for each of them (CAM++), clustering of the embeddings, and a vote of the windows over
each frame. The embedding network runs once over the sound instead of three times per window, so that an hour takes
three minutes on one core. The error rate is that of pyannote.audio with the same networks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.arrays import Floats, Mask
from sensory_pipeline.core.diarization import Diarization, SpeakerEmbedding, Turn, label
from sensory_pipeline.core.errors import ConfigurationError, EngineError, Terminal, brief
from sensory_pipeline.core.process_request import DiarizationSettings
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.activity_log import ActivityLog
from sensory_pipeline.engines.base import DiarizeJob, EngineInfo
from sensory_pipeline.engines.cache import LoadedModel, ModelCache
from sensory_pipeline.engines.catalogue.fetch import fetch
from sensory_pipeline.engines.diarization.onnx.local_speakers import local_speakers
from sensory_pipeline.engines.diarization.onnx.reconstruction import activity, people_at_once, speaker_count, turns
from sensory_pipeline.engines.diarization.onnx.speaker_clustering import cluster_speakers
from sensory_pipeline.engines.diarization.onnx.speaker_embeddings import speaker_embeddings
from sensory_pipeline.engines.diarization.onnx.speaker_networks import SpeakerNetworks
from sensory_pipeline.engines.diarization.open_networks import EMBEDDING, FILES, SEGMENTATION
from sensory_pipeline.engines.library_errors import FAULTS, short_of_memory
from sensory_pipeline.engines.spec import CatalogueWeights, EngineChoice, EngineContext, EngineSpec, Weights


class OnnxDiarizer:
    """A Diarizer. Its networks are loaded with the first job.

    Args:
        segmentation: Returns the checkpoint of segmentation-3.0. Called once, when the file is needed.
        embedding: Returns the checkpoint of CAM++. Called once, when the file is needed.
        cache: Holds the networks while they are loaded.
        threads: Number of threads that compute.
        activity: Where to note what it does.
    """

    def __init__(
        self,
        segmentation: Callable[[], Path],
        embedding: Callable[[], Path],
        *,
        cache: ModelCache,
        threads: int = 1,
        activity: ActivityLog | None = None,
    ) -> None:
        self._segmentation = segmentation
        self._embedding = embedding
        self._cache = cache
        self._threads = threads
        self._activity = activity or ActivityLog()

    @property
    def info(self) -> EngineInfo:
        """The networks are identified by the content of their files.

        Raises:
            ConfigurationError: A file is not there.
        """
        return EngineInfo(engine="onnx", model="segmentation-3.0+campplus", revision=self._revision, algorithm=1)

    def diarize(self, jobs: Iterable[DiarizeJob]) -> Iterator[tuple[str, Diarization | Terminal]]:
        """One result for each job, in order of the jobs.

        A requested number of speakers is kept if there is enough speech to distinguish as many.

        Raises:
            ConfigurationError: The networks cannot be had.
        """
        for job in jobs:
            if not job.pcm.duration_ms:
                yield job.key, Diarization(turns=(), exclusive=())
                continue
            with self._leased() as networks:
                answer = self._answer(networks, job)
            yield job.key, answer

    def _answer(self, networks: SpeakerNetworks, job: DiarizeJob) -> Diarization | Terminal:
        try:
            with self._activity.noting("device", "segmentation-3.0 and CAM++"):
                speaking = local_speakers(job.pcm, networks.segmentation.scores)
                vectors = speaker_embeddings(job.pcm, speaking, networks.embedding)
            with self._activity.noting("host", "clustering voices"):
                return _diarization(job.pcm, speaking, vectors, job.settings)
        except FAULTS as error:
            reason = brief(error)
            remedy = ": cut it, or process it where there is more memory" if short_of_memory(error) else ""
            return EngineError(f"diarization failed on this recording ({reason}){remedy}")

    @cached_property
    def _files(self) -> tuple[Path, Path]:
        return self._segmentation(), self._embedding()

    @cached_property
    def _revision(self) -> str:
        return _digest(self._files)

    @contextmanager
    def _leased(self) -> Iterator[SpeakerNetworks]:
        def load() -> LoadedModel[SpeakerNetworks]:
            with self._activity.noting("host", "loading the speaker networks"):
                networks = SpeakerNetworks.load(*self._files, threads=self._threads)
                if _digest(self._files) != self._revision:
                    raise ConfigurationError("a diarization model's file changed while it was in use: start again")
            return LoadedModel(model=networks, size_bytes=networks.size_bytes, unload=networks.unload)

        with self._cache.lease(f"onnx {self._revision} {self._threads}", load) as networks:
            yield networks


def _digest(paths: Iterable[Path]) -> str:
    """12 hexadecimal digits that identify the content of the files."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as error:
            raise ConfigurationError(f"cannot read the diarization model {path}: {error.strerror}") from error
    return digest.hexdigest()[:12]


def _diarization(pcm: Waveform, speaking: Mask, vectors: Floats, settings: DiarizationSettings) -> Diarization:
    count = speaker_count(speaking)
    least = settings.speakers or max(settings.min_speakers or 1, people_at_once(count))
    most = settings.speakers or settings.max_speakers
    names, centres = cluster_speakers(vectors, speaking, least=least, most=most)
    if not len(centres):
        return Diarization(turns=(), exclusive=())
    regular, exclusive = (turns(mask, pcm.span) for mask in activity(speaking, names, count))
    labels = {speaker: label(index) for index, speaker in enumerate(dict.fromkeys(speaker for _, speaker in regular))}
    return Diarization(
        turns=tuple(Turn(span=span, speaker=labels[speaker]) for span, speaker in regular),
        exclusive=tuple(Turn(span=span, speaker=labels[speaker]) for span, speaker in exclusive),
        embeddings=tuple(
            SpeakerEmbedding(speaker=name, vector=tuple(centres[speaker].tolist())) for speaker, name in labels.items()
        ),
    )


def _make(choice: EngineChoice, context: EngineContext) -> OnnxDiarizer:
    return OnnxDiarizer(
        lambda: fetch(SEGMENTATION, choice.store) / FILES[SEGMENTATION],
        lambda: fetch(EMBEDDING, choice.store) / FILES[EMBEDDING],
        cache=context.cache,
        activity=context.activity,
    )


def _weights(choice: EngineChoice) -> tuple[Weights, ...]:
    return tuple(CatalogueWeights(name=name, store=choice.store) for name in (SEGMENTATION, EMBEDDING))


ENGINE = EngineSpec(
    name="onnx",
    stage=Stage.DIARIZATION,
    about="segmentation-3.0 and CAM++ in onnxruntime",
    make=_make,
    weights=_weights,
)
