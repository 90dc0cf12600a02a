"""Networks of the diarizer for tests: the published ones where they are, small random ones, and a reference in numpy.

The reference calculates what the ONNX models should, straight from the definitions of the layers and without a thought
for speed.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count, takewhile

import numpy as np

from sensory_pipeline.core.arrays import Array


def random_pyannet(seed: int, *, hidden: int = 8, layers: int = 2) -> dict[str, Array]:
    """Tensors of a PyanNet with segmentation-3.0's frames and classes, but few channels."""
    rng = np.random.default_rng(seed)
    bank = "sincnet.conv1d.0.filterbank."
    tensors: dict[str, Array] = {
        "sincnet.wav_norm1d.weight": np.ones(1),
        "sincnet.wav_norm1d.bias": rng.normal(size=1) / 10,
        bank + "low_hz_": rng.uniform(30, 3000, (4, 1)),
        bank + "band_hz_": rng.uniform(-200, 900, (4, 1)),
        bank + "window_": np.hamming(251)[:125],
        bank + "n_": 2 * np.pi * np.arange(-125, 0)[None] / 16_000,
    }
    for layer, channels in ((1, 8), (2, 6)):
        tensors[f"sincnet.conv1d.{layer}.weight"] = rng.normal(size=(6, channels, 5)) / channels
        tensors[f"sincnet.conv1d.{layer}.bias"] = rng.normal(size=6) / 10
    for layer, channels in enumerate((8, 6, 6)):
        tensors[f"sincnet.norm1d.{layer}.weight"] = rng.uniform(0.5, 1.5, channels)
        tensors[f"sincnet.norm1d.{layer}.bias"] = rng.normal(size=channels) / 10
    for layer in range(layers):
        inputs = 2 * hidden if layer else 6
        for way in ("", "_reverse"):
            for kind, columns in (("ih", inputs), ("hh", hidden)):
                tensors[f"lstm.weight_{kind}_l{layer}{way}"] = rng.normal(size=(4 * hidden, columns)) / 2
                tensors[f"lstm.bias_{kind}_l{layer}{way}"] = rng.normal(size=4 * hidden) / 2
    for name, rows, columns in (("linear.0", 5, 2 * hidden), ("linear.1", 5, 5), ("classifier", 7, 5)):
        tensors[f"{name}.weight"] = rng.normal(size=(rows, columns))
        tensors[f"{name}.bias"] = rng.normal(size=rows) / 10
    return {name: values.astype(np.float32) for name, values in tensors.items()}


def random_campplus(seed: int, *, width: int = 2, layers: tuple[int, int, int] = (2, 1, 2)) -> dict[str, Array]:
    """Tensors of a CAM++ with few channels and layers, and vectors of 5 numbers."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, Array] = {}

    def norm(name: str, channels: int) -> None:
        tensors[f"{name}.weight"] = rng.uniform(0.5, 1.5, channels)
        tensors[f"{name}.bias"] = rng.normal(size=channels) / 10
        tensors[f"{name}.running_mean"] = rng.normal(size=channels) / 10
        tensors[f"{name}.running_var"] = rng.uniform(0.5, 1.5, channels)

    def conv(name: str, *shape: int) -> None:
        tensors[f"{name}.weight"] = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))

    conv("head.conv1", width, 1, 3, 3)
    norm("head.bn1", width)
    for layer in ("head.layer1", "head.layer2"):
        for part in (f"{layer}.0", f"{layer}.1"):
            for number in (1, 2):
                conv(f"{part}.conv{number}", width, width, 3, 3)
                norm(f"{part}.bn{number}", width)
        conv(f"{layer}.0.shortcut.0", width, width, 1, 1)
        norm(f"{layer}.0.shortcut.1", width)
    conv("head.conv2", width, width, 3, 3)
    norm("head.bn2", width)
    channels, growth, inner = 6, 4, 5
    conv("xvector.tdnn.linear", channels, 10 * width, 5)
    norm("xvector.tdnn.nonlinear.batchnorm", channels)
    for block, number in enumerate(layers, 1):
        for layer_number in range(1, number + 1):
            layer = f"xvector.block{block}.tdnnd{layer_number}"
            norm(f"{layer}.nonlinear1.batchnorm", channels)
            conv(f"{layer}.linear1", inner, channels, 1)
            norm(f"{layer}.nonlinear2.batchnorm", inner)
            conv(f"{layer}.cam_layer.linear_local", growth, inner, 3)
            for affine, shape in (("linear1", (3, inner, 1)), ("linear2", (growth, 3, 1))):
                conv(f"{layer}.cam_layer.{affine}", *shape)
                tensors[f"{layer}.cam_layer.{affine}.bias"] = rng.normal(size=shape[0])
            channels += growth
        norm(f"xvector.transit{block}.nonlinear.batchnorm", channels)
        conv(f"xvector.transit{block}.linear", channels // 2, channels, 1)
        channels //= 2
    norm("xvector.out_nonlinear.batchnorm", channels)
    conv("xvector.dense.linear", 5, 2 * channels, 1)
    tensors["xvector.dense.nonlinear.batchnorm.running_mean"] = rng.normal(size=5) / 10
    tensors["xvector.dense.nonlinear.batchnorm.running_var"] = rng.uniform(0.5, 1.5, 5)
    return {name: values.astype(np.float32) for name, values in tensors.items()}


def reference_pyannet(tensors: Mapping[str, Array], sound: Array) -> Array:
    """sound: shape (samples,). Log probabilities, shape (frames, classes)."""
    t = {name: values.astype(np.float64) for name, values in tensors.items()}
    x = _instance_norm(sound[None].astype(np.float64), t["sincnet.wav_norm1d.weight"], t["sincnet.wav_norm1d.bias"])
    bank = "sincnet.conv1d.0.filterbank."
    low = 50 + abs(t[bank + "low_hz_"][:, 0])
    high = np.minimum(low + 50 + abs(t[bank + "band_hz_"][:, 0]), 8000)
    time = np.arange(-125, 126) / 16_000
    phase = 2 * np.pi * time * np.ones((len(low), 1))
    window = np.hamming(251)
    safe = np.where(time == 0, 1, phase)
    # twice the integral of cos and sin over the band, by the band's width
    cosines = np.where(
        time == 0, high[:, None] - low[:, None], (np.sin(high[:, None] * safe) - np.sin(low[:, None] * safe)) / safe
    )
    sines = np.where(time == 0, 0, (np.cos(low[:, None] * safe) - np.cos(high[:, None] * safe)) / safe)
    filters = np.concatenate([cosines, sines]) * window / np.tile(high - low, 2)[:, None]
    x = abs(_conv1d(x, filters[:, None], stride=10))
    for layer in range(3):
        if layer:
            x = _conv1d(x, t[f"sincnet.conv1d.{layer}.weight"]) + t[f"sincnet.conv1d.{layer}.bias"][:, None]
        x = x[:, : x.shape[1] // 3 * 3].reshape(len(x), -1, 3).max(axis=2)
        x = _leaky(_instance_norm(x, t[f"sincnet.norm1d.{layer}.weight"], t[f"sincnet.norm1d.{layer}.bias"]))
    x = x.T
    for layer in takewhile(lambda number: f"lstm.weight_hh_l{number}" in t, count()):
        x = np.hstack([_lstm(t, f"l{layer}", x), _lstm(t, f"l{layer}_reverse", x[::-1])[::-1]])
    for name in ("linear.0", "linear.1"):
        x = _leaky(x @ t[f"{name}.weight"].T + t[f"{name}.bias"])
    x = x @ t["classifier.weight"].T + t["classifier.bias"]
    scores: Array = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    return scores


def reference_trunk(tensors: Mapping[str, Array], energies: Array) -> Array:
    """energies: shape (frames, 80). Features, shape (channels, frames / 2)."""
    t = {name: values.astype(np.float64) for name, values in tensors.items()}

    def norm(x: Array, name: str) -> Array:
        gain = t[f"{name}.weight"] / np.sqrt(t[f"{name}.running_var"] + 1e-5)
        shape = (-1,) + (1,) * (x.ndim - 1)
        return (x - t[f"{name}.running_mean"].reshape(shape)) * gain.reshape(shape) + t[f"{name}.bias"].reshape(shape)

    def relu(x: Array) -> Array:
        return np.maximum(x, 0)

    x = energies.T[None].astype(np.float64)  # (channels, bands, frames)
    x = relu(norm(_conv2d(x, t["head.conv1.weight"]), "head.bn1"))
    for layer in ("head.layer1", "head.layer2"):
        for part, stride in ((f"{layer}.0", 2), (f"{layer}.1", 1)):
            y = relu(norm(_conv2d(x, t[f"{part}.conv1.weight"], stride), f"{part}.bn1"))
            y = norm(_conv2d(y, t[f"{part}.conv2.weight"]), f"{part}.bn2")
            if stride == 2:
                x = norm(_conv2d(x, t[f"{part}.shortcut.0.weight"], stride), f"{part}.shortcut.1")
            x = relu(x + y)
    x = relu(norm(_conv2d(x, t["head.conv2.weight"], 2), "head.bn2"))
    x = x.reshape(-1, x.shape[2])
    x = _conv1d(np.pad(x, ((0, 0), (2, 2))), t["xvector.tdnn.linear.weight"], stride=2)
    x = relu(norm(x, "xvector.tdnn.nonlinear.batchnorm"))
    for block, dilation in ((1, 1), (2, 2), (3, 2)):
        names = (f"xvector.block{block}.tdnnd{number}" for number in count(1))
        for name in takewhile(lambda name: f"{name}.linear1.weight" in t, names):
            y = t[f"{name}.linear1.weight"][:, :, 0] @ relu(norm(x, f"{name}.nonlinear1.batchnorm"))
            y = relu(norm(y, f"{name}.nonlinear2.batchnorm"))
            kernel = np.zeros((*t[f"{name}.cam_layer.linear_local.weight"].shape[:2], 2 * dilation + 1))
            kernel[:, :, ::dilation] = t[f"{name}.cam_layer.linear_local.weight"]
            local = _conv1d(np.pad(y, ((0, 0), (dilation, dilation))), kernel)
            context = np.empty_like(y)
            for first in range(0, y.shape[1], 100):
                frames = slice(first, first + 100)
                context[:, frames] = y.mean(axis=1, keepdims=True) + y[:, frames].mean(axis=1, keepdims=True)
            cam = f"{name}.cam_layer"
            mask = relu(t[f"{cam}.linear1.weight"][:, :, 0] @ context + t[f"{cam}.linear1.bias"][:, None])
            mask = t[f"{cam}.linear2.weight"][:, :, 0] @ mask + t[f"{cam}.linear2.bias"][:, None]
            x = np.concatenate([x, local / (1 + np.exp(-mask))])
        transit = f"xvector.transit{block}"
        x = t[f"{transit}.linear.weight"][:, :, 0] @ relu(norm(x, f"{transit}.nonlinear.batchnorm"))
    return relu(norm(x, "xvector.out_nonlinear.batchnorm"))


def _instance_norm(x: Array, scale: Array, shift: Array) -> Array:
    centred = x - x.mean(axis=1, keepdims=True)
    normal = centred / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    answer: Array = normal * scale[:, None] + shift[:, None]
    return answer


def _leaky(x: Array) -> Array:
    return np.where(x > 0, x, 0.01 * x)


def _conv1d(x: Array, kernel: Array, *, stride: int = 1) -> Array:
    """x: shape (channels, frames); kernel: (channels of the answer, channels, taps)."""
    cuts = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2], axis=1)[:, ::stride]
    answer: Array = np.einsum("cft,oct->of", cuts, kernel, optimize=True)
    return answer


def _conv2d(x: Array, kernel: Array, stride: int = 1) -> Array:
    """x: shape (channels, bands, frames), to be padded; stride: over bands."""
    edge = kernel.shape[2] // 2
    padded = np.pad(x, ((0, 0), (edge, edge), (edge, edge)))
    cuts = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[2:], axis=(1, 2))[:, ::stride]
    answer: Array = np.einsum("cbfij,ocij->obf", cuts, kernel, optimize=True)
    return answer


def _lstm(t: Mapping[str, Array], layer: str, x: Array) -> Array:
    """x: shape (frames, channels)."""
    bias = t[f"lstm.bias_ih_{layer}"] + t[f"lstm.bias_hh_{layer}"]
    state = cell = np.zeros(t[f"lstm.weight_hh_{layer}"].shape[1])
    states = []
    for frame in x:
        gates = t[f"lstm.weight_ih_{layer}"] @ frame + t[f"lstm.weight_hh_{layer}"] @ state + bias
        enter, forget, new, leave = np.split(gates, 4)
        cell = _sigmoid(forget) * cell + _sigmoid(enter) * np.tanh(new)
        state = _sigmoid(leave) * np.tanh(cell)
        states.append(state)
    return np.array(states)


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))
