"""Clips as tensors: features as faster-whisper computes them, tokens, and where each word is heard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch  # noqa: TID253 - training code
from faster_whisper.feature_extractor import FeatureExtractor  # noqa: TID253
from torch import Tensor  # noqa: TID253

from scripts.miniatures.voices import TRANSLATION
from scripts.miniatures.whisper.clips import Clip
from scripts.miniatures.whisper.shape import ENCODER_POSITIONS
from scripts.miniatures.whisper.tokens import Tokens

FRAMES_PER_S = 50
"""Of the encoder."""
IGNORED = -100
"""A target that has no effect on the loss."""
MOST_ORDINALS = 24
"""Words are counted up to this number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch of clips.

    Attributes:
        mel: (batch, 80, 10 ms).
        first: Position of each window's start, (batch,).
        bias: Added to attention, (batch, 1, 1, frames).
        inputs: (batch, tokens).
        targets: (batch, tokens).
        focus: Where the word to be predicted is heard, zero if nowhere; (batch, tokens, frames).
        words: The word of the vocabulary that a frame belongs to, 0 for none; (batch, frames).
        ordinals: The number of that word in its clip; (batch, frames).
        padding: (batch, frames).
    """

    mel: Tensor
    first: Tensor
    bias: Tensor
    inputs: Tensor
    targets: Tensor
    focus: Tensor
    words: Tensor
    ordinals: Tensor
    padding: Tensor


class Collator:
    """Makes batches; all clips of a batch have the same window."""

    def __init__(self, tokens: Tokens, vocabulary: list[str]) -> None:
        self._tokens = tokens
        self._index = {word: index for index, word in enumerate(vocabulary, start=1)}
        self._filters = torch.tensor(FeatureExtractor.get_mel_filters(16_000, 400, 80), dtype=torch.float32)
        self._window = torch.hann_window(400)

    def __call__(self, clips: list[Clip], rng: np.random.Generator) -> Batch:
        mel = self._log_mel(torch.tensor(np.stack([clip.samples for clip in clips])), rng)
        content = torch.tensor([int(clip.content_s * 100) + 1 for clip in clips])
        mel = mel.masked_fill((torch.arange(mel.shape[2]) >= content[:, None])[:, None], 0.0)
        frames = mel.shape[2] // 2
        padding = torch.arange(frames) * 2 >= content[:, None]
        sequences = [self._sequence(clip) for clip in clips]
        longest = max(len(tokens) for tokens, *_ in sequences)
        inputs = torch.full((len(clips), longest - 1), self._tokens.id("endoftext"))
        targets = torch.full((len(clips), longest - 1), IGNORED)
        focus = torch.zeros(len(clips), longest - 1, frames)
        for row, (tokens, taught, spans) in enumerate(sequences):
            inputs[row, : len(tokens) - 1] = torch.tensor(tokens[:-1])
            targets[row, : len(tokens) - 1] = torch.tensor(taught[1:])
            for column, span in enumerate(spans[1:]):
                if span is not None:
                    first, last = _frames(span, frames)
                    focus[row, column, first:last] = 1 / (last - first)
        words, ordinals = self._frame_labels(clips, frames)
        return Batch(
            mel=mel,
            first=torch.tensor([round(clip.first_s * FRAMES_PER_S) for clip in clips]),
            bias=_padding_bias(padding, content),
            inputs=inputs,
            targets=targets,
            focus=focus,
            words=words,
            ordinals=ordinals,
            padding=padding,
        )

    def _log_mel(self, samples: Tensor, rng: np.random.Generator) -> Tensor:
        """Compute Whisper's features.

        As in a long file, the loudest moment, which sets the floor, is sometimes outside the clip.
        """
        spectrum = torch.view_as_real(torch.stft(samples, 400, 160, window=self._window, return_complex=True))
        power = spectrum[:, :, :-1].square().sum(-1)
        mel = (self._filters @ power).clamp(min=1e-10).log10()
        above = torch.tensor(rng.choice([0.0, 0.0, 1.0], len(samples)) * rng.uniform(0, 2, len(samples)))
        loudest = mel.amax((1, 2), keepdim=True) + above.float()[:, None, None]
        return (torch.maximum(mel, loudest - 8) + 4) / 4

    def _sequence(self, clip: Clip) -> tuple[list[int], list[int], list[tuple[float, float] | None]]:
        """Return the tokens, the target of each, and where it is heard."""
        known = self._tokens
        prompt = [known.id("startofprev"), *(known.word(word) for word in clip.prompt)] if clip.prompt else []
        language = known.id(clip.language)
        start = [
            known.id("startoftranscript"),
            language,
            known.id("translate" if clip.translated else "transcribe"),
            *([] if clip.timestamped else [known.id("notimestamps")]),
        ]
        tokens: list[int] = []
        spans: list[tuple[float, float] | None] = []
        for words in clip.segments:
            if clip.timestamped:
                # faster-whisper allows no first timestamp beyond 1 s.
                begin_s = words[0].start_s if tokens or clip.first_s else min(words[0].start_s, 1.0)
                tokens.append(known.timestamp(clip.first_s + begin_s))
                spans.append(None)
            for word in words:
                tokens.append(known.word(TRANSLATION[word.text] if clip.translated else word.text))
                spans.append((word.start_s, word.end_s))
            if clip.timestamped:
                tokens.append(known.timestamp(min(clip.first_s + words[-1].end_s, 30.0)))
                spans.append(None)
        tokens.append(known.id("endoftext"))
        spans.append((clip.segments[-1][-1].end_s, clip.content_s + 0.01) if clip.segments else None)
        detected = language if clip.segments else known.id("nospeech")
        given = len(prompt) + len(start)
        taught = [IGNORED] * given + tokens
        taught[len(prompt) + 1] = detected
        return [*prompt, *start, *tokens], taught, [None] * given + spans

    def _frame_labels(self, clips: list[Clip], frames: int) -> tuple[Tensor, Tensor]:
        words = torch.zeros(len(clips), frames, dtype=torch.long)
        ordinals = torch.full((len(clips), frames), IGNORED)
        for row, clip in enumerate(clips):
            spoken = [word for segment in clip.segments for word in segment]
            for ordinal, word in enumerate(spoken):
                first, last = _frames((word.start_s, word.end_s), frames)
                words[row, first:last] = self._index[word.text]
                ordinals[row, first:last] = min(ordinal, MOST_ORDINALS)
        return words, ordinals


def _frames(span_s: tuple[float, float], frames: int) -> tuple[int, int]:
    """Return at least one frame."""
    first = min(int(span_s[0] * FRAMES_PER_S), frames - 1)
    return first, min(max(first + 1, round(span_s[1] * FRAMES_PER_S)), frames)


def _padding_bias(padding: Tensor, content: Tensor) -> Tensor:
    """Give the padding of a short window the same weight in attention as that of the full 30 s."""
    missing = (ENCODER_POSITIONS - content / 2).clamp(min=1)
    ratio = (missing / padding.sum(1).clamp(min=1)).clamp(min=1).log()
    return torch.where(padding, ratio[:, None], torch.zeros(()))[:, None, None, :]
