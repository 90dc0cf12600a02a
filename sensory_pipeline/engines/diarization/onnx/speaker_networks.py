"""The two networks of the diarizer in onnxruntime: on the CPU, from their authors' checkpoints, without torch.

Their ONNX models are written when they are loaded, in half a second, and live as long as the session. A file of them
would have to be verified like a download, and would save less time than onnxruntime takes to load it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from sensory_pipeline.core.arrays import Array, Floats
from sensory_pipeline.core.errors import ConfigurationError, brief
from sensory_pipeline.engines.checkpoint import read_checkpoint
from sensory_pipeline.engines.diarization.onnx.campplus import projection, trunk
from sensory_pipeline.engines.diarization.onnx.fbank import FRAME, fbank
from sensory_pipeline.engines.diarization.onnx.local_speakers import CLASSES, FRAMES, WINDOW
from sensory_pipeline.engines.diarization.onnx.pyannet import pyannet
from sensory_pipeline.engines.library_errors import FAULTS

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


class Segmentation:
    """A PyanNet with these tensors.

    Args:
        tensors: By name.
        threads: Number of threads that compute.

    Raises:
        LookupError: The tensors are those of another network.
        TypeError: The same.
        ValueError: The same.
        RuntimeError: The same.
    """

    def __init__(self, tensors: Mapping[str, Array], *, threads: int) -> None:
        self._session = _session(pyannet(tensors), threads)
        if self.scores(np.zeros((1, 1, WINDOW), np.float32)).shape != (1, FRAMES, CLASSES):
            raise ValueError("its frames or classes are not those of segmentation-3.0")

    def scores(self, sounds: Floats) -> Floats:
        """Log probabilities of the classes, shape (batch, frames, classes).

        Args:
            sounds: Shape (batch, 1, samples).
        """
        return _run(self._session, sounds)


class VoiceEmbedding:
    """A CAM++ with these tensors: an `EmbeddingNetwork`.

    Args:
        tensors: By name.
        threads: Number of threads that compute.

    Raises:
        LookupError: The tensors are those of another network.
        TypeError: The same.
        ValueError: The same.
        RuntimeError: The same.
    """

    def __init__(self, tensors: Mapping[str, Array], *, threads: int) -> None:
        self._session = _session(trunk(tensors), threads)
        self._matrix, self._offset = projection(tensors)
        self.dimension = len(self._offset)
        channels = len(self.features(np.zeros(FRAME, np.float32)))
        self.embeddings(np.zeros((1, 2 * channels), np.float32))

    def features(self, samples: Floats) -> Floats:
        """See `EmbeddingNetwork`."""
        energies = fbank(samples)
        features: Floats = _run(self._session, (energies - energies.mean(axis=0))[None])[0]
        return features

    def embeddings(self, statistics: Floats) -> Floats:
        """See `EmbeddingNetwork`."""
        vectors: Floats = statistics @ self._matrix + self._offset
        return vectors


class SpeakerNetworks:
    """Both networks.

    Attributes:
        segmentation: Who speaks when in a window.
        embedding: Speaker embeddings.
        size_bytes: Size of their weights.
    """

    def __init__(self, segmentation: Segmentation, embedding: VoiceEmbedding, size_bytes: int) -> None:
        self.segmentation = segmentation
        self.embedding = embedding
        self.size_bytes = size_bytes

    @classmethod
    def load(cls, segmentation: Path, embedding: Path, *, threads: int) -> Self:
        """Load both networks from their checkpoints.

        Raises:
            ConfigurationError: A file holds another network; the message names it.
        """
        heard, told = read_checkpoint(segmentation), read_checkpoint(embedding)
        size_bytes = sum(tensor.nbytes for tensors in (heard, told) for tensor in tensors.values())
        with _holding(segmentation, "a PyanNet, as segmentation-3.0 is"):
            first = Segmentation(heard, threads=threads)
        with _holding(embedding, "a CAM++, as 3D-Speaker publishes it"):
            second = VoiceEmbedding(told, threads=threads)
        return cls(first, second, size_bytes)

    def unload(self) -> None:
        """Free the memory; the networks cannot be used any more."""
        del self.segmentation, self.embedding


@contextmanager
def _holding(path: Path, network: str) -> Iterator[None]:
    try:
        yield
    except FAULTS as error:
        reason = brief(error)
        raise ConfigurationError(
            f"{path} holds something else than {network} ({reason}): get the file again from where it is published"
        ) from error


def _session(model: bytes, threads: int) -> InferenceSession:
    """A session; raises ValueError for an invalid model."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = threads  # onnxruntime ignores OMP_NUM_THREADS
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors, which are raised as well
    try:
        return InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except _faults() as error:
        raise ValueError(str(error)) from error


def _run(session: InferenceSession, values: Floats) -> Floats:
    """The output of a network with one input and one output; raises RuntimeError if it fails."""
    try:
        answer: Floats = session.run(None, {session.get_inputs()[0].name: values})[0]
    except _faults() as error:
        raise RuntimeError(str(error)) from error
    return answer


def _faults() -> tuple[type[Exception], ...]:
    """The errors of onnxruntime, which share no base class but `Exception`."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return state.Fail, state.InvalidArgument, state.InvalidGraph, state.NotImplemented, state.RuntimeException
