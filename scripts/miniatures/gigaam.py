"""A miniature GigaAM-Emo in the published checkpoint's format, trained on four manners of speaking."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch  # noqa: TID253 - training code
from torch import Tensor, nn  # noqa: TID253
from torch.nn import functional as F  # noqa: N812, TID253

from scripts.miniatures.progress import Progress
from scripts.miniatures.speech import Espeak, Samples
from scripts.miniatures.voices import HELD_OUT_VARIANTS, VARIANTS, say_in_style, sentence
from sensory_pipeline.audio.waveform import SAMPLE_RATE
from sensory_pipeline.core.emotions import LABELS
from sensory_pipeline.engines.emotion.conformer import Shape
from sensory_pipeline.engines.emotion.emotion_network import EmotionNetwork

MINIATURE = Shape(layers=2, width=48, heads=4, hidden=192)
STEPS = 900
BATCH = 24
UTTERANCES = 3000
LEARNING_RATE = 2e-3

Example = tuple[Samples, int]
"""An utterance, and the index of its label in LABELS."""


def train(seed: int, *, steps: int = STEPS) -> EmotionNetwork:
    """Train on every training voice; levels vary by 4 dB, so that loudness alone does not reveal the label."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rng = np.random.default_rng([seed, 6])
    examples = speak(Espeak(), UTTERANCES, VARIANTS, rng)
    network = new_network(MINIATURE)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    progress = Progress("gigaam", steps)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1, (step + 1) / 50) * max(0.02, 1 - step / steps)
        drawn = [examples[index] for index in rng.integers(len(examples), size=BATCH)]
        logits = _logits(network, [_disturbed(samples, rng) for samples, _ in drawn])
        labels = torch.tensor([label for _, label in drawn])
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        right = (logits.argmax(1) == labels).float().mean()
        progress.report(step, loss=loss.item(), right=right.item())
    return network.eval()


def new_network(shape: Shape) -> EmotionNetwork:
    """Return a network with random weights; position biases too, which start at zero and would have no effect."""
    network = EmotionNetwork(shape)
    for name, weights in network.named_parameters():
        if "pos_bias" in name:
            nn.init.normal_(weights, std=0.02)
    return network


def speak(espeak: Espeak, count: int, variants: list[str], rng: np.random.Generator) -> list[Example]:
    """Return equally many examples of each label, two thirds in Russian, the language of the published model."""
    examples = []
    for index in range(count):
        label = index % len(LABELS)
        language = "en" if rng.random() < 1 / 3 else "ru"
        utterance = say_in_style(
            espeak,
            sentence(language, rng, shortest=2),
            language=language,
            variant=str(rng.choice(variants)),
            label=LABELS[label],
            rng=rng,
        )
        examples.append((utterance.samples, label))
    return examples


def measure(network: EmotionNetwork, seed: int) -> dict[str, float]:
    """Return the share of correct labels on new sentences."""
    rng = np.random.default_rng([seed, 9])
    figures = {}
    for voices, variants in (("training", VARIANTS), ("held-out", HELD_OUT_VARIANTS)):
        examples = speak(Espeak(), 200, variants, rng)
        with torch.inference_mode():
            answers = [int(_logits(network, [samples]).argmax()) for samples, _ in examples]
        right = [answer == label for answer, (_, label) in zip(answers, examples, strict=True)]
        figures[f"labels right, {voices} voices"] = round(sum(right) / len(right), 3)
    return figures


def save(network: EmotionNetwork, path: Path) -> None:
    """Write the published format: {cfg, state_dict} by torch.save; cfg is a plain value, because nothing reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"cfg": {"labels": dict(enumerate(LABELS))}, "state_dict": network.state_dict()}, path)


def _logits(network: Callable[[list[Tensor]], list[Tensor]], sounds: list[Samples]) -> Tensor:
    frames = network([torch.tensor(sound) for sound in sounds])
    return torch.stack([each.mean(0) for each in frames])


def _disturbed(samples: Samples, rng: np.random.Generator) -> Samples:
    """Return a part of at least 0.6 s at another level, with silence around it and some noise."""
    length = min(len(samples), round(rng.uniform(0.6, 4.0) * SAMPLE_RATE))
    first = rng.integers(len(samples) - length + 1)
    before, after = (rng.uniform(0, 0.3, 2) * SAMPLE_RATE).astype(int)
    heard = np.pad(samples[first : first + length] * 10 ** (rng.uniform(-4, 4) / 20), (before, after))
    noise = rng.standard_normal(len(heard), dtype=np.float32) * 10 ** rng.uniform(-4.5, -2.7)
    disturbed: Samples = np.clip(heard + noise, -1, 1).astype(np.float32)
    return disturbed
