"""Writes a Whisper as a CTranslate2 folder, which faster-whisper loads from a local path."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from ctranslate2.converters import utils  # noqa: TID253 - training code
from ctranslate2.specs import common_spec  # noqa: TID253
from ctranslate2.specs.whisper_spec import WhisperSpec  # noqa: TID253

from scripts.miniatures.whisper.shape import Shape
from scripts.miniatures.whisper.tokens import Tokens

Weights = Mapping[str, npt.NDArray[np.float32]]
"""By Hugging Face's parameter names, including the encoder's positions."""
Quantization = Literal["int8", "float16", "float32"]


def save(folder: Path, shape: Shape, weights: Weights, tokens: Tokens, quantization: Quantization) -> None:
    """Write model.bin, config.json, vocabulary.json, tokenizer.json and preprocessor_config.json."""
    spec = WhisperSpec(shape.encoder_layers, shape.heads, shape.decoder_layers, shape.heads)
    for side, described in (("encoder", spec.encoder), ("decoder", spec.decoder)):
        described.position_encodings.encodings = weights[f"{side}.embed_positions.weight"]
        _norm(described.layer_norm, weights, f"{side}.layer_norm")
        for index, layer in enumerate(described.layer):
            _layer(layer, weights, f"{side}.layers.{index}")
    _linear(spec.encoder.conv1, weights, "encoder.conv1")
    _linear(spec.encoder.conv2, weights, "encoder.conv2")
    spec.decoder.scale_embeddings = False
    spec.decoder.embeddings.weight = weights["decoder.embed_tokens.weight"]
    spec.decoder.projection.weight = weights["decoder.embed_tokens.weight"]
    spec.register_vocabulary(tokens.all)
    spec.config.suppress_ids = tokens.suppressed
    spec.config.suppress_ids_begin = tokens.suppressed_at_start
    spec.config.lang_ids = tokens.language_ids
    spec.config.alignment_heads = [list(head) for head in shape.alignment_heads]
    spec.validate()
    spec.optimize(quantization=None if quantization == "float32" else quantization)
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    (folder / "tokenizer.json").write_text(tokens.tokenizer_json(), encoding="utf-8")
    preprocessor = {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": shape.mels,
        "sampling_rate": 16_000,
        "hop_length": 160,
        "chunk_length": 30,
        "n_fft": 400,
        "n_samples": 480_000,
        "nb_max_frames": 3000,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": False,
        "processor_class": "WhisperProcessor",
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=2), encoding="utf-8")


def _layer(spec: Any, weights: Weights, name: str) -> None:
    queries, keys, values = _projections(weights, f"{name}.self_attn")
    utils.fuse_linear(spec.self_attention.linear[0], [queries, keys, values])
    _linear(spec.self_attention.linear[1], weights, f"{name}.self_attn.out_proj")
    _norm(spec.self_attention.layer_norm, weights, f"{name}.self_attn_layer_norm")
    if f"{name}.encoder_attn.q_proj.weight" in weights:
        queries, keys, values = _projections(weights, f"{name}.encoder_attn")
        utils.fuse_linear(spec.attention.linear[0], [queries])
        utils.fuse_linear(spec.attention.linear[1], [keys, values])
        _linear(spec.attention.linear[2], weights, f"{name}.encoder_attn.out_proj")
        _norm(spec.attention.layer_norm, weights, f"{name}.encoder_attn_layer_norm")
    _linear(spec.ffn.linear_0, weights, f"{name}.fc1")
    _linear(spec.ffn.linear_1, weights, f"{name}.fc2")
    _norm(spec.ffn.layer_norm, weights, f"{name}.final_layer_norm")


def _projections(weights: Weights, name: str) -> list[common_spec.LinearSpec]:
    specs = []
    for part in ("q_proj", "k_proj", "v_proj"):
        spec = common_spec.LinearSpec()
        _linear(spec, weights, f"{name}.{part}")
        specs.append(spec)
    return specs


def _linear(spec: Any, weights: Weights, name: str) -> None:
    spec.weight = weights[f"{name}.weight"]
    if f"{name}.bias" in weights:
        spec.bias = weights[f"{name}.bias"]


def _norm(spec: Any, weights: Weights, name: str) -> None:
    spec.gamma = weights[f"{name}.weight"]
    spec.beta = weights[f"{name}.bias"]
