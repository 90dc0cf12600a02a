"""Models of the real architectures with random weights, for identity tests and benchmarks.

`python -m scripts.random_models whisper-base pyannote --out models --seed 1` writes models/whisper-base and
models/pyannote. Their output means nothing, but loading, computing time and memory are those of the published models.
The same seed gives the same weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scripts.miniatures.whisper.shape import (
    BASE,
    DECODER_POSITIONS,
    ENCODER_POSITIONS,
    LARGE_V3_TURBO,
    SMALL,
    Shape,
)

if TYPE_CHECKING:
    import numpy.typing as npt
    from pyannote.audio.models.segmentation import PyanNet

    from scripts.miniatures.whisper.ctranslate import Quantization

WHISPERS = {"whisper-base": BASE, "whisper-small": SMALL, "whisper-large-v3-turbo": LARGE_V3_TURBO}
MODELS = (*WHISPERS, "pyannote", "gigaam")
EMBEDDING_STD = 0.1
"""Large enough that one token stands out, so that rounding does not decide the result."""
PROMPT = 4
"""Tokens before the first one of a text: start, language, task, no timestamps."""
LOUD = 100.0
"""Factor on the embedding of a token that makes it the answer at a position, whatever the sound is."""
LOGIT_STD = 4.0
"""Over time, for each class of the segmentation network."""


def whisper(
    folder: Path, shape: Shape, seed: int, *, quantization: Quantization = "float16", tokens_a_text: int | None = None
) -> None:
    """Write a CTranslate2 folder for faster-whisper, with the published vocabulary's size and special tokens.

    Args:
        folder: The folder.
        shape: Sizes of the model.
        seed: The seed.
        quantization: Type of the weights.
        tokens_a_text: Tokens of the text of every clip without a prompt; None for as many as fit. Such a model detects
            Chinese as the language, where every character is a word.
    """
    from scripts.miniatures.whisper import ctranslate
    from scripts.miniatures.whisper.tokens import LANGUAGES, pair_tokens

    tokens = pair_tokens((*LANGUAGES, "yue") if shape is LARGE_V3_TURBO else LANGUAGES)
    weights = _whisper_weights(shape, len(tokens.all), np.random.default_rng(seed))
    if tokens_a_text is not None:
        embeddings, positions = (weights[f"decoder.embed_{name}.weight"] for name in ("tokens", "positions"))
        positions[0] += LOUD * embeddings[tokens.id("zh")]
        positions[PROMPT + tokens_a_text - 1 :] += LOUD * embeddings[tokens.id("endoftext")]
    ctranslate.save(folder, shape, weights, tokens, quantization)


def pyannote(folder: Path, seed: int) -> None:
    """Write a pipeline folder like speaker-diarization-community-1: PyanNet, WeSpeakerResNet34, PLDA, VBx."""
    import torch
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.embedding import WeSpeakerResNet34
    from pyannote.audio.models.segmentation import PyanNet

    from scripts.miniatures.pyannote.folder import save_config, save_model, save_plda

    torch.manual_seed(seed)
    segmentation = PyanNet(sincnet={"stride": 10}, lstm={"num_layers": 4, "monolithic": True})
    segmentation.specifications = Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=10.0,
        classes=["speaker#1", "speaker#2", "speaker#3"],
        powerset_max_classes=2,
        permutation_invariant=True,
    )
    segmentation.build()  # type: ignore[no-untyped-call]
    _spread_classes(segmentation.eval(), np.random.default_rng(seed))
    save_model(segmentation, folder / "segmentation")
    embedding = WeSpeakerResNet34()
    embedding.specifications = Specifications(
        problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=5.0, classes=[]
    )
    save_model(embedding.eval(), folder / "embedding")
    rng = np.random.default_rng(seed)
    kept = 128
    lda, _ = np.linalg.qr(rng.standard_normal((embedding.dimension, kept)))
    save_plda(
        folder / "plda",
        mean1=np.zeros(embedding.dimension),
        lda=lda,
        mean2=np.zeros(kept),
        mu=np.zeros(kept),
        tr=np.eye(kept),
        psi=np.linspace(0.1, 10, kept),
    )
    save_config(folder, "VBxClustering", {"threshold": 0.6, "Fa": 0.07, "Fb": 0.8})


def gigaam(path: Path, seed: int) -> None:
    """Write a checkpoint like GigaAM-Emo's emo.ckpt: 16 layers of 768."""
    import torch

    from scripts.miniatures.gigaam import new_network, save
    from sensory_pipeline.engines.emotion.conformer import Shape as EmotionShape

    torch.manual_seed(seed)
    save(new_network(EmotionShape()).eval(), path)


def _spread_classes(network: PyanNet, rng: np.random.Generator) -> None:
    """Scale the last layer so that speakers come and go; without this, one class always wins.

    It is measured on bursts of noise of different colours, which affect the network as voices do.
    """
    import torch

    bursts = [
        np.convolve(rng.standard_normal(length), rng.standard_normal(8)) * rng.choice([0.0, 0.01, 0.05])
        for length in rng.integers(3_000, 20_000, size=60)
    ]
    inputs: list[torch.Tensor] = []
    hook = network.classifier.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    with torch.inference_mode():
        network(torch.tensor(np.concatenate(bursts), dtype=torch.float32)[None, None])
    hook.remove()
    with torch.no_grad():
        logits = network.classifier(inputs[0]).flatten(0, 1)
        mean, std = logits.mean(0), logits.std(0)
        scale = LOGIT_STD / std
        network.classifier.weight.mul_(scale[:, None])
        network.classifier.bias.sub_(mean).mul_(scale)


def _whisper_weights(shape: Shape, vocabulary: int, rng: np.random.Generator) -> dict[str, npt.NDArray[np.float32]]:
    """Return the weights by Hugging Face's names."""
    size = shape.dimensions
    weights: dict[str, npt.NDArray[np.float32]] = {}

    def add(name: str, *sizes: int, std: float) -> None:
        weights[name] = rng.standard_normal(sizes, dtype=np.float32) * np.float32(std)

    def add_linear(name: str, outer: int, *inner: int, bias: bool = True) -> None:
        add(f"{name}.weight", outer, *inner, std=float(np.prod(inner)) ** -0.5)
        if bias:
            add(f"{name}.bias", outer, std=0.02)

    def add_norm(name: str) -> None:
        weights[f"{name}.weight"] = np.ones(size, np.float32)
        weights[f"{name}.bias"] = np.zeros(size, np.float32)

    add_linear("encoder.conv1", size, shape.mels, 3)
    add_linear("encoder.conv2", size, size, 3)
    add("encoder.embed_positions.weight", ENCODER_POSITIONS, size, std=EMBEDDING_STD)
    add("decoder.embed_tokens.weight", vocabulary, size, std=EMBEDDING_STD)
    add("decoder.embed_positions.weight", DECODER_POSITIONS, size, std=EMBEDDING_STD)
    for side, layers, attentions in (
        ("encoder", shape.encoder_layers, ("self_attn",)),
        ("decoder", shape.decoder_layers, ("self_attn", "encoder_attn")),
    ):
        for name in (f"{side}.layers.{index}" for index in range(layers)):
            for attention in attentions:
                for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
                    add_linear(f"{name}.{attention}.{part}", size, size, bias=part != "k_proj")
                add_norm(f"{name}.{attention}_layer_norm")
            add_linear(f"{name}.fc1", 4 * size, size)
            add_linear(f"{name}.fc2", size, 4 * size)
            add_norm(f"{name}.final_layer_norm")
        add_norm(f"{side}.layer_norm")
    return weights


def main() -> None:
    """Write the models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", choices=MODELS, metavar="MODEL", help=f"of {', '.join(MODELS)}")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for model in arguments.models:
        place: Path = arguments.out / model
        if model in WHISPERS:
            whisper(place, WHISPERS[model], arguments.seed)
        elif model == "pyannote":
            pyannote(place, arguments.seed)
        else:
            place /= "emo.ckpt"
            gigaam(place, arguments.seed)
        print(place)


if __name__ == "__main__":
    main()
