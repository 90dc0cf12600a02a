"""Trains the miniature Whisper on one CPU thread.

Several things let such a small model learn in minutes. One head of each cross-attention is trained to look at the
last word in the first layer and at the next word in the last. Two auxiliary heads on the encoder predict each frame's
word and its number. Windows are short at first and start at zero, and whole conversations come last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch  # noqa: TID253 - training code
from torch import Tensor, nn  # noqa: TID253
from torch.nn import functional as F  # noqa: N812, TID253

from scripts.miniatures.progress import Progress
from scripts.miniatures.speech import Espeak
from scripts.miniatures.voices import ENGLISH, RUSSIAN, VARIANTS
from scripts.miniatures.whisper.batches import IGNORED, MOST_ORDINALS, Batch, Collator
from scripts.miniatures.whisper.clips import Mixing, Pool, make_clip
from scripts.miniatures.whisper.network import Whisper
from scripts.miniatures.whisper.shape import MINIATURE
from scripts.miniatures.whisper.tokens import Tokens, word_tokens

SPOKEN = 7000
"""Number of utterances that clips are made from."""
WARM_UP_STEPS = 150
GUIDANCE = 0.5
"""Weight of the loss on attention."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """How often a batch has which window, up to a point in the training.

    Attributes:
        until: Share of the steps, 0 to 1.
        mixing: How difficult clips are.
        choices: (probability, seconds, clips) of each kind of batch.
    """

    until: float
    mixing: Mixing
    choices: tuple[tuple[float, float, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage of the training.

    Attributes:
        steps: Number of steps.
        learning_rate: Its maximum.
        heads: Initial weight of the auxiliary heads; it falls to zero.
        windows: The windows over time.
    """

    steps: int
    learning_rate: float
    heads: float
    windows: tuple[Windows, ...]


HARDER = Mixing(prompted=0.08, shifted=0.25)
UTTERANCES = Stage(
    steps=3600,
    learning_rate=2.5e-3,
    heads=1.0,
    windows=(
        Windows(until=0.10, mixing=Mixing(), choices=((1.0, 2.0, 32),)),
        Windows(until=0.40, mixing=Mixing(), choices=((0.2, 2.0, 32), (0.8, 3.2, 24))),
        Windows(until=0.65, mixing=HARDER, choices=((0.4, 3.2, 24), (0.4, 4.8, 16), (0.2, 8.0, 10))),
        Windows(until=1.0, mixing=HARDER, choices=((0.3, 3.2, 24), (0.35, 4.8, 16), (0.2, 10.0, 8), (0.15, 30.0, 4))),
    ),
)
CONVERSATIONS = Stage(
    steps=800,
    learning_rate=1.2e-3,
    heads=0.0,
    windows=(
        Windows(
            until=1.0,
            mixing=Mixing(prompted=0.05, shifted=0.15, fullest_s=29.0, quietest=-0.8),
            choices=((0.2, 3.2, 24), (0.25, 4.8, 16), (0.2, 10.0, 8), (0.35, 30.0, 4)),
        ),
    ),
)


class Heads(nn.Module):
    """Auxiliary heads on the encoder, used only in training."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.word = nn.Linear(MINIATURE.dimensions, words + 1)
        self.ordinal = nn.Linear(MINIATURE.dimensions, MOST_ORDINALS + 1)


def train(seed: int) -> tuple[Whisper, Tokens]:
    """Train a model; return it with its tokens.

    Raises:
        ConfigurationError: espeak-ng is not installed.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rng = np.random.default_rng([seed, 1])
    vocabulary = ENGLISH + RUSSIAN
    tokens = word_tokens(vocabulary)
    pool = Pool(Espeak(), SPOKEN, VARIANTS, rng)
    collate = Collator(tokens, vocabulary)
    model, heads = Whisper(MINIATURE, len(tokens.all)), Heads(len(vocabulary))
    train_stage(UTTERANCES, model, heads, pool, collate, rng)
    train_stage(CONVERSATIONS, model, heads, pool, collate, np.random.default_rng([seed, 11]))
    return model.eval(), tokens


def train_stage(
    stage: Stage, model: Whisper, heads: Heads, pool: Pool, collate: Collator, rng: np.random.Generator
) -> None:
    """Train a stage with its own optimizer."""
    parameters = [weight for weight in (*model.parameters(), *heads.parameters()) if weight.requires_grad]
    optimizer = torch.optim.AdamW(parameters, betas=(0.9, 0.98), weight_decay=0.01)
    progress = Progress("whisper", stage.steps)
    for step in range(stage.steps):
        done = step / stage.steps
        slope = min(1, (step + 1) / WARM_UP_STEPS) * (0.5 + 0.5 * math.cos(math.pi * done))
        for group in optimizer.param_groups:
            group["lr"] = stage.learning_rate * slope
        windows = next(windows for windows in stage.windows if done < windows.until)
        drawn = rng.choice(len(windows.choices), p=[share for share, *_ in windows.choices])
        _, window_s, clips = windows.choices[drawn]
        batch = collate([make_clip(pool, window_s, windows.mixing, rng) for _ in range(clips)], rng)
        loss, figures = _loss(model, heads, batch, guidance=stage.heads * (1 - done))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        progress.report(step, **figures)


def _loss(model: Whisper, heads: Heads, batch: Batch, *, guidance: float) -> tuple[Tensor, dict[str, float]]:
    encoded = model.encoder(batch.mel, batch.first, batch.bias)
    logits, attention = model.decoder(batch.inputs, encoded, batch.bias)
    text = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED)
    last_word = F.pad(batch.focus, (0, 0, 1, 0))[:, :-1]
    focused = -(batch.focus * attention[-1] + last_word * attention[0]).sum() / batch.focus.sum().clamp(min=1)
    words = F.cross_entropy(heads.word(encoded)[~batch.padding], batch.words[~batch.padding])
    spoken = batch.ordinals != IGNORED
    ordinals = F.cross_entropy(heads.ordinal(encoded)[spoken], batch.ordinals[spoken]) if spoken.any() else words * 0
    loss = text + GUIDANCE * focused + guidance * (words + 0.5 * ordinals)
    taught = batch.targets != IGNORED
    right = (logits.argmax(-1) == batch.targets)[taught].float().mean()
    figures = {"text": text, "focus": focused, "words": words, "ordinals": ordinals, "right": right}
    return loss, {name: value.item() for name, value in figures.items()}
