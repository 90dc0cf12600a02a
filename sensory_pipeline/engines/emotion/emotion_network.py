"""GigaAM-Emo's network: a Conformer over log-mel frames, and a linear head over the mean of its output.

The head is linear and its input is a mean, so logits can be computed for every frame: their mean over any
part of the sound is the result for that part. Imported only where a model is loaded, since it needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import torch  # noqa: TID253  modules are classes of torch; gigaam.py imports this file only to load a model
from torch import Tensor, nn  # noqa: TID253
from torch.nn.utils.rnn import pad_sequence  # noqa: TID253

from sensory_pipeline.core.arrays import Array, Floats
from sensory_pipeline.engines.emotion.conformer import Encoder, Shape
from sensory_pipeline.engines.emotion.mel import LogMel


class EmotionNetwork(nn.Module):
    """From sound to logits. A new network has random weights; `restored` loads a checkpoint."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.preprocessor = LogMel(shape.window, shape.mels)
        self.encoder = Encoder(shape)
        self.head = nn.Linear(shape.width, shape.labels)

    @classmethod
    def restored(cls, tensors: Mapping[str, Array], *, labels: int) -> Self:
        """The network with these weights, in evaluation mode, float32, on the CPU; shares memory with the tensors.

        Args:
            tensors: By name.
            labels: The number of labels it must have.

        Raises:
            LookupError: The tensors are those of another kind of network.
            ValueError: The same.
            RuntimeError: The same.
        """
        shape = Shape.of(tensors)
        if shape.labels != labels:
            raise ValueError(f"it has {shape.labels} labels, not {labels}")
        with torch.device("meta"):
            network = cls(shape)
        weights = {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in tensors.items()}
        network.load_state_dict(weights, assign=True)
        network.float().requires_grad_(False).eval()
        return network

    def frame_logits(self, sounds: Sequence[Floats]) -> list[Floats]:
        """The logits of each sound, shape (frames, labels); frames are 40 ms apart.

        They do not depend on the other sounds.

        Args:
            sounds: Each of shape (samples,), with at least one window of samples.
        """
        device = self.head.weight.device
        with torch.inference_mode():
            answers = self([torch.from_numpy(sound).to(device) for sound in sounds])
        return [logits.cpu().numpy() for logits in answers]

    def forward(self, sounds: Sequence[Tensor]) -> list[Tensor]:
        """`frame_logits` on tensors, for use with gradients."""
        features = [self.preprocessor(sound) for sound in sounds]
        lengths = torch.tensor([len(frames) for frames in features], device=features[0].device)
        padded = pad_sequence(features, batch_first=True).to(self.encoder.dtype)
        encoded, lengths = self.encoder(padded, lengths)
        logits = self.head(encoded.to(self.head.weight.dtype))
        return [frames[:length] for frames, length in zip(logits, lengths.tolist(), strict=True)]
