"""The ONNX models that are written run in onnxruntime, and calculate what the layers' definitions say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnxruntime import InferenceSession

from sensory_pipeline.core.arrays import Array
from sensory_pipeline.engines.checkpoint import read_checkpoint
from sensory_pipeline.engines.diarization.onnx.campplus import projection, trunk
from sensory_pipeline.engines.diarization.onnx.fbank import fbank
from sensory_pipeline.engines.diarization.onnx.graph import Graph
from sensory_pipeline.engines.diarization.onnx.local_speakers import FRAMES, WINDOW
from sensory_pipeline.engines.diarization.onnx.pyannet import pyannet
from sensory_pipeline.engines.diarization.onnx.speaker_networks import Segmentation, VoiceEmbedding
from sensory_pipeline_tests.speaker_networks import (
    random_campplus,
    random_pyannet,
    reference_pyannet,
    reference_trunk,
)


def run(model: bytes, **inputs: Array) -> list[Array]:
    session = InferenceSession(model, providers=["CPUExecutionProvider"])
    return list(session.run(None, inputs))


def sound(samples: int, seed: int = 0) -> Array:
    """Of a voice's loudness, with a pause in it."""
    rng = np.random.default_rng(seed)
    loudness = np.abs(np.sin(np.arange(samples) / 9000)) * 0.1
    return (rng.normal(size=samples) * loudness).astype(np.float32)


def test_values_constants_and_attributes_of_each_kind_are_written() -> None:
    graph = Graph()
    summed = graph.add("Add", "x", np.array([[1.5], [-2]]))
    # an int, a list of ints with a negative one, a float, a string
    joined = graph.add("Concat", summed, graph.add("Transpose", "y", perm=[1, 0]), axis=-1)
    leaky = graph.add("LeakyRelu", joined, alpha=0.25)
    flat = graph.add("Reshape", leaky, np.array([-1]))
    rounded = graph.add("DepthToSpace", graph.add("Reshape", "x", np.array([1, 4, 1, 1])), blocksize=2, mode="CRD")
    model = graph.model(
        inputs={"x": [2, "n"], "y": [3, 2]}, outputs={"flat": (flat, ["m"]), "square": (rounded, [1, 1, 2, 2])}
    )
    x, y = np.array([[1, 2], [3, -4]], np.float32), np.arange(6, dtype=np.float32).reshape(3, 2)
    found, square = run(model, x=x, y=y)
    expected = np.hstack([x + np.array([[1.5], [-2]]), y.T]).ravel()
    np.testing.assert_allclose(found, np.where(expected > 0, expected, expected / 4))
    np.testing.assert_array_equal(square[0, 0], x)


@pytest.mark.parametrize("size", [1, 127, 128, 300, 70_000])
def test_constants_of_any_size_are_written(size: int) -> None:
    values = np.random.default_rng(size).normal(size=size).astype(np.float32)
    graph = Graph()
    model = graph.model(inputs={"x": [1]}, outputs={"y": (graph.add("Mul", "x", values), [size])})
    np.testing.assert_array_equal(run(model, x=np.array([2], np.float32))[0], 2 * values)


@pytest.mark.parametrize("seed", [1, 2])
def test_pyannet_computes_the_same_as_its_layers(seed: int) -> None:
    tensors = random_pyannet(seed, layers=seed)
    sounds = np.stack([sound(20_000, seed), sound(20_000, seed + 10)])
    (scores,) = run(pyannet(tensors), sound=sounds[:, None])
    for found, heard in zip(scores, sounds, strict=True):
        np.testing.assert_allclose(found, reference_pyannet(tensors, heard), atol=1e-3)


def test_pyannet_has_the_expected_number_of_frames() -> None:
    (scores,) = run(pyannet(random_pyannet(3)), sound=np.zeros((1, 1, WINDOW), np.float32))
    assert scores.shape == (1, FRAMES, 7)


@pytest.mark.parametrize("frames", [2, 198, 200, 201, 437])
def test_the_trunk_computes_the_same_as_its_layers(frames: int) -> None:
    tensors = random_campplus(frames)
    energies = np.random.default_rng(frames).normal(size=(frames, 80)).astype(np.float32)
    (features,) = run(trunk(tensors), energies=energies[None])
    np.testing.assert_allclose(features[0], reference_trunk(tensors, energies), atol=1e-3)


def test_the_projection_is_the_last_layer() -> None:
    tensors = random_campplus(5)
    matrix, offset = projection(tensors)
    statistics = np.random.default_rng(5).normal(size=(3, len(matrix)))
    dense = statistics @ tensors["xvector.dense.linear.weight"][:, :, 0].T
    norm = "xvector.dense.nonlinear.batchnorm"
    expected = (dense - tensors[f"{norm}.running_mean"]) / np.sqrt(tensors[f"{norm}.running_var"] + 1e-5)
    np.testing.assert_allclose(statistics @ matrix + offset, expected, atol=1e-5)
    assert (expected < 0).any(), "nothing is cut off below zero"


def test_segmentation_is_that_of_pyannote(open_models: tuple[Path, Path]) -> None:
    pytest.importorskip("pyannote.audio", reason="pyannote.audio, the reference, is not installed")
    import torch
    from pyannote.audio.models.segmentation import PyanNet

    tensors = read_checkpoint(open_models[0])
    network = PyanNet(sincnet={"stride": 10}, lstm={"num_layers": 4, "bidirectional": True, "monolithic": True})
    network.classifier, network.activation = torch.nn.Linear(128, 7), torch.nn.LogSoftmax(dim=-1)
    network.load_state_dict({name: torch.from_numpy(values.copy()) for name, values in tensors.items()})
    sounds = np.stack([sound(WINDOW), sound(WINDOW, 1)])[:, None]
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(sounds)).numpy()
    assert np.abs(Segmentation(tensors, threads=1).scores(sounds) - expected).max() < 1e-3


def test_the_published_trunk_is_that_of_its_layers(open_models: tuple[Path, Path]) -> None:
    tensors = read_checkpoint(open_models[1])
    samples = sound(16_000)
    energies = fbank(samples)
    expected = reference_trunk(tensors, energies - energies.mean(axis=0))
    assert np.abs(VoiceEmbedding(tensors, threads=1).features(samples) - expected).max() < 1e-3


def test_the_published_embedding_is_that_of_torch(open_models: tuple[Path, Path]) -> None:
    pytest.importorskip(
        "pyannote.audio", reason="pyannote.audio, which the torch network is made for, is not installed"
    )
    import torch

    from sensory_pipeline.engines.diarization.pyannote.campplus import CamPlusPlus

    tensors = read_checkpoint(open_models[1])
    ours = VoiceEmbedding(tensors, threads=1)
    reference = CamPlusPlus.restored({name: torch.from_numpy(np.array(values)) for name, values in tensors.items()})
    samples = sound(5 * 16_000)
    energies = fbank(samples)
    with torch.inference_mode():
        expected = reference.frames(torch.from_numpy(energies - energies.mean(axis=0))[None])[0]
        statistics = torch.cat([expected.mean(dim=1), expected.std(dim=1)])[None]
        vector = reference.xvector.vectors(statistics)[0].numpy()
    found = ours.features(samples)
    assert np.abs(found - expected.numpy()).max() < 1e-3
    pooled = np.concatenate([found.mean(axis=1), found.std(axis=1, ddof=1)])[None]
    assert np.abs(ours.embeddings(pooled)[0] - vector).max() < 1e-3
