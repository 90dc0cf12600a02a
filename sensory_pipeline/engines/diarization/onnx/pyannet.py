"""PyanNet, the segmentation network that finds who of up to three people speaks when (segmentation-3.0), in ONNX.

SincNet (M. Ravanelli and Y. Bengio, "Speaker recognition from raw waveform with SincNet", SLT 2018), bidirectional
LSTMs, and linear layers. Each frame has one of seven classes: nobody, one of three voices, two of them at once
(A. Plaquet and H. Bredin, "Powerset multi-class cross entropy loss for neural speaker diarization", Interspeech 2023).
Sizes are read from the tensors; names and constants are those of pyannote.audio's PyanNet.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sensory_pipeline.audio.waveform import SAMPLE_RATE
from sensory_pipeline.core.arrays import Array
from sensory_pipeline.engines.diarization.onnx.graph import Graph

_STRIDE = 10  # samples from one value of a filter to the next
_LOWEST_HZ, _NARROWEST_HZ = 50, 50  # of a filter's pass band
_LEAK = 0.01  # slope of LeakyReLU below zero, torch's default
_EPSILON = 1e-5  # added to variances, torch's default


def pyannet(weights: Mapping[str, Array]) -> bytes:
    """The model from `sound`, shape (batch, 1, samples) at 16 kHz, to `scores`, shape (batch, frames, classes).

    The scores are log probabilities.

    Args:
        weights: Tensors by name.

    Raises:
        KeyError: The tensors are those of another network.
        ValueError: The same.
    """
    graph = Graph()
    x = _sincnet(graph, weights, "sound")
    x = _lstms(graph, weights, graph.add("Transpose", x, perm=[2, 0, 1]))
    x = graph.add("Transpose", x, perm=[1, 0, 2])
    for name in _numbered(weights, "linear.{}.weight"):
        x = graph.add("LeakyRelu", _linear(graph, weights, name, x), alpha=_LEAK)
    x = graph.add("LogSoftmax", _linear(graph, weights, "classifier.weight", x), axis=-1)
    classes = len(weights["classifier.bias"])
    return graph.model(inputs={"sound": ["batch", 1, "samples"]}, outputs={"scores": (x, ["batch", "frames", classes])})


def band_pass_filters(weights: Mapping[str, Array]) -> Array:
    """SincNet's first layer, shape (filters, 1, taps): a cosine and a sine phase of each learned pass band.

    Each is the difference of two low-pass filters, windowed, with a peak of 1.
    """
    bank = "sincnet.conv1d.0.filterbank."
    low = _LOWEST_HZ + np.abs(weights[bank + "low_hz_"])
    high = np.clip(low + _NARROWEST_HZ + np.abs(weights[bank + "band_hz_"]), _LOWEST_HZ, SAMPLE_RATE / 2)
    band = high - low
    left = weights[bank + "n_"]  # 2 pi t for the taps before the middle one
    shape = weights[bank + "window_"] / (left / 2)
    even = (np.sin(high @ left) - np.sin(low @ left)) * shape
    odd = (np.cos(low @ left) - np.cos(high @ left)) * shape
    cosines = np.hstack([even, 2 * band, even[:, ::-1]])
    sines = np.hstack([odd, np.zeros_like(band), -odd[:, ::-1]])
    filters: Array = np.vstack([cosines / (2 * band), sines / (2 * band)])[:, None]
    return filters


def _sincnet(graph: Graph, weights: Mapping[str, Array], sound: str) -> str:
    """SincNet, whose output has shape (batch, channels, frames)."""

    def normalised(x: str, name: str) -> str:
        scale, shift = weights[f"sincnet.{name}.weight"], weights[f"sincnet.{name}.bias"]
        return graph.add("InstanceNormalization", x, scale, shift, epsilon=_EPSILON)

    x = normalised(sound, "wav_norm1d")
    x = graph.add("Abs", graph.add("Conv", x, band_pass_filters(weights), strides=[_STRIDE]))
    for layer in range(3):
        if layer:
            name = f"sincnet.conv1d.{layer}"
            x = graph.add("Conv", x, weights[f"{name}.weight"], weights[f"{name}.bias"])
        x = graph.add("MaxPool", x, kernel_shape=[3], strides=[3])
        x = graph.add("LeakyRelu", normalised(x, f"norm1d.{layer}"), alpha=_LEAK)
    return x


def _lstms(graph: Graph, weights: Mapping[str, Array], x: str) -> str:
    """Bidirectional LSTMs; `x` and the output have shape (frames, batch, channels)."""
    for name in _numbered(weights, "lstm.weight_hh_l{}"):
        layer = name.removeprefix("lstm.weight_hh_")
        size = weights[name].shape[1]

        def both(kind: str, layer: str = layer) -> Array:
            return np.stack([_gates(weights[f"lstm.{kind}_{layer}{way}"]) for way in ("", "_reverse")])

        bias = np.hstack([both("bias_ih"), both("bias_hh")])
        x = graph.add(
            "LSTM", x, both("weight_ih"), both("weight_hh"), bias, hidden_size=size, direction="bidirectional"
        )
        # (frames, directions, batch, channels): a 0 keeps the dimension
        x = graph.add("Reshape", graph.add("Transpose", x, perm=[0, 2, 1, 3]), np.array([0, 0, 2 * size]))
    return x


def _gates(values: Array) -> Array:
    """The order of gates is input, forget, cell, output in torch, and input, output, forget, cell in ONNX."""
    enter, forget, cell, leave = np.split(values, 4)
    return np.concatenate([enter, leave, forget, cell])


def _linear(graph: Graph, weights: Mapping[str, Array], name: str, x: str) -> str:
    return graph.add("Add", graph.add("MatMul", x, weights[name].T), weights[name.replace("weight", "bias")])


def _numbered(weights: Mapping[str, Array], name: str) -> list[str]:
    """The names that exist with a number from 0 on."""
    return [name.format(number) for number in range(len(weights)) if name.format(number) in weights]
