"""Trains the two networks of the miniature pipeline, on one CPU thread."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch  # noqa: TID253 - training code
from pyannote.audio.core.task import Problem, Resolution, Specifications  # noqa: TID253
from pyannote.audio.utils.powerset import Powerset  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253
from torch.nn import functional as F  # noqa: N812, TID253

from scripts.miniatures.progress import Progress
from scripts.miniatures.pyannote.folder import CHUNK_S
from scripts.miniatures.pyannote.mixtures import Speakers, mix
from scripts.miniatures.speech import Samples
from sensory_pipeline.audio.waveform import SAMPLE_RATE
from sensory_pipeline_tests.miniature_pyannote import TinySeg, TinyXVector

SPEAKERS = 3
"""Maximum number of speakers in a chunk, two of them at the same time."""
SEGMENTATION_STEPS = 2000
SEGMENTATION_BATCH = 24
NAMING = 0.5
"""Weight of the auxiliary head."""
IGNORED = -100
EMBEDDING_STEPS = 500
EMBEDDING_BATCH = 24
EMBEDDING_SIZE = 64
SHORTEST = 50
"""The embedding network learns from at least this much of a single voice, in units of 10 ms."""
MARGIN, SCALE = 0.15, 20.0
"""Of the additive-margin softmax (arXiv 1801.05599)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpts:
    """Chunks of conversations, each with one voice to recognise.

    Attributes:
        waveforms: Shape (batch, 1, samples).
        weights: 1 where only this voice is heard, shape (batch, 10 ms).
        voices: Index of the speaker, shape (batch,).
    """

    waveforms: Tensor
    weights: Tensor
    voices: Tensor


def train_segmentation(speakers: Speakers, rng: np.random.Generator, *, steps: int = SEGMENTATION_STEPS) -> TinySeg:
    """Train with a permutation-invariant loss over powerset classes (arXiv 2310.13025).

    An auxiliary head names the voice of every frame with one speaker; without it the network would take a change of
    manner for a change of speaker.
    """
    model = TinySeg()
    model.specifications = Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=CHUNK_S,
        min_duration=CHUNK_S,
        warm_up=(0.0, 0.0),
        classes=[f"speaker#{index + 1}" for index in range(SPEAKERS)],
        powerset_max_classes=2,
        permutation_invariant=True,
    )
    model.build()
    powerset = Powerset(SPEAKERS, 2)
    frames = model.num_frames(round(CHUNK_S * SAMPLE_RATE))
    heard = np.minimum(np.arange(frames) * 2, round(CHUNK_S * 100) - 1)
    namer = nn.Linear(model.classifier.in_features, len(speakers))
    optimizer = torch.optim.Adam([*model.parameters(), *namer.parameters()])
    progress = Progress("segmentation", steps)
    for step in range(steps):
        _set_rate(optimizer, 3e-3 * min(1, (step + 1) / 50) * max(0.03, 1 - step / steps))
        mixtures = [mix(speakers, int(rng.choice([1, 2, 2, 2, 3])), CHUNK_S, rng) for _ in range(SEGMENTATION_BATCH)]
        truth = torch.zeros(SEGMENTATION_BATCH, frames, SPEAKERS)
        voices = torch.full((SEGMENTATION_BATCH, frames), IGNORED)
        for row, mixture in enumerate(mixtures):
            activity = torch.tensor(mixture.activity[:, heard].T)
            truth[row, :, : activity.shape[1]] = activity.float()
            alone = activity.sum(1) == 1
            voices[row, alone] = torch.tensor(mixture.voices)[activity[alone].int().argmax(1)]
        encoded = model.encode(torch.tensor(np.stack([mixture.samples for mixture in mixtures]))[:, None])
        scores = model.activation(model.classifier(encoded))
        named = F.cross_entropy(namer(encoded).transpose(1, 2), voices, ignore_index=IGNORED)
        losses = [
            F.nll_loss(scores.transpose(1, 2), powerset.to_powerset(truth[..., order]).argmax(-1), reduction="none")
            for order in map(list, permutations(range(SPEAKERS)))
        ]
        loss = torch.stack([each.mean(1) for each in losses]).amin(0).mean()
        _descend(optimizer, model, loss + NAMING * named)
        progress.report(step, loss=loss.item(), named=named.item())
    return model.eval()


def train_embedding(speakers: Speakers, rng: np.random.Generator, *, steps: int = EMBEDDING_STEPS) -> TinyXVector:
    """Train to distinguish voices in any manner of speaking, in chunks where others speak too, as in pyannote."""
    model = TinyXVector(mfcc={"n_mfcc": 40}, dimension=EMBEDDING_SIZE)
    model.specifications = Specifications(
        problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=3.0, classes=[]
    )
    prototypes = nn.Parameter(torch.randn(len(speakers), EMBEDDING_SIZE) * 0.1)
    optimizer = torch.optim.Adam([*model.parameters(), prototypes])
    progress = Progress("embedding", steps)
    for step in range(steps):
        done = step / steps
        _set_rate(optimizer, 3e-3 * max(0.03, 1 - done))
        batch = excerpts(speakers, EMBEDDING_BATCH, rng)
        cosines = F.normalize(model(batch.waveforms, batch.weights), dim=1) @ F.normalize(prototypes, dim=1).T
        margins = MARGIN * F.one_hot(batch.voices, len(speakers)) * min(1, 2 * done)
        loss = F.cross_entropy(SCALE * (cosines - margins), batch.voices)
        _descend(optimizer, model, loss)
        right = (cosines.argmax(1) == batch.voices).float().mean()
        progress.report(step, loss=loss.item(), right=right.item())
    return model.eval()


def excerpts(speakers: Speakers, count: int, rng: np.random.Generator) -> Excerpts:
    """Take one speaker out of each of several mixtures."""
    waveforms: list[Samples] = []
    weights: list[Samples] = []
    voices: list[int] = []
    while len(waveforms) < count:
        mixture = mix(speakers, int(rng.integers(1, SPEAKERS + 1)), CHUNK_S, rng)
        alone = mixture.activity & (mixture.activity.sum(0) == 1)
        heard = np.flatnonzero(alone.sum(1) >= SHORTEST)
        if heard.size:
            chosen = rng.choice(heard)
            waveforms.append(mixture.samples)
            weights.append(alone[chosen].astype(np.float32))
            voices.append(int(mixture.voices[chosen]))
    return Excerpts(
        waveforms=torch.tensor(np.stack(waveforms))[:, None],
        weights=torch.tensor(np.stack(weights)),
        voices=torch.tensor(voices),
    )


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _descend(optimizer: torch.optim.Optimizer, model: nn.Module, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
