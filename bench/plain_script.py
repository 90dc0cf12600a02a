"""What a data team would write with the same three libraries: one file after the other, each from end to end.

The models are loaded once. GigaAM's network is that of our engine, called for one utterance at a time, since its
authors' package cannot be installed beside pyannote.audio 4.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.diarization import stock_pyannote
from bench.models import Models
from sensory_pipeline.core.emotions import LABELS

RATE = 16_000
BATCH = 8
LEAST = RATE // 10
"""Minimum number of samples for the network."""
Samples = npt.NDArray[np.float32]
SaidWord = tuple[Any, str | None]
"""A word of faster-whisper, and its speaker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainScript:
    """The script, with the libraries' own objects."""

    whisper: Any
    diarizer: Any
    emotions: Any

    @classmethod
    def loaded(cls, models: Models, *, threads: int) -> PlainScript:
        """Load all three models, on the GPU if there is one.

        Args:
            models: The models.
            threads: Threads of Whisper on a CPU.
        """
        import torch
        from faster_whisper import BatchedInferencePipeline, WhisperModel

        from sensory_pipeline.engines.checkpoint import read_checkpoint
        from sensory_pipeline.engines.emotion.emotion_network import EmotionNetwork

        gpu = torch.cuda.is_available()
        whisper = WhisperModel(
            str(models.whisper),
            device="cuda" if gpu else "cpu",
            compute_type="float16" if gpu else "int8",
            cpu_threads=threads,
        )
        diarizer = stock_pyannote(models.pyannote)
        emotions = EmotionNetwork.restored(read_checkpoint(models.gigaam), labels=len(LABELS))
        if gpu:
            diarizer.to(torch.device("cuda"))
            emotions.encoder.half()
            emotions.to("cuda")
        return cls(whisper=BatchedInferencePipeline(whisper), diarizer=diarizer, emotions=emotions)

    def process(self, source: Path, out: Path) -> None:
        """Process every recording of a folder, with a JSON file for each."""
        out.mkdir(parents=True)
        for path in sorted(source.iterdir()):
            result = json.dumps(self._result(path), ensure_ascii=False)
            (out / f"{path.stem}.json").write_text(result, encoding="utf-8")

    def _result(self, path: Path) -> dict[str, object]:
        from faster_whisper import decode_audio

        samples = decode_audio(str(path), sampling_rate=RATE)
        segments, info = self.whisper.transcribe(
            samples, batch_size=BATCH, beam_size=5, temperature=0.0, word_timestamps=True
        )
        words = [word for segment in segments for word in segment.words]
        turns = self._turns(samples)
        said = [(word, _speaker(word, turns)) for word in words]
        return {
            "language": info.language,
            "words": [[word.word, float(word.start), float(word.end), speaker] for word, speaker in said],
            "turns": turns,
            "utterances": list(self._utterances(samples, said)),
        }

    def _turns(self, samples: Samples) -> list[tuple[float, float, str]]:
        import torch

        found = self.diarizer({"waveform": torch.from_numpy(samples)[None], "sample_rate": RATE})
        tracks = found.exclusive_speaker_diarization.itertracks(yield_label=True)
        return [(turn.start, turn.end, speaker) for turn, _, speaker in tracks]

    def _utterances(self, samples: Samples, said: Sequence[SaidWord]) -> Iterator[dict[str, object]]:
        for speaker, group in groupby(said, key=lambda one: one[1]):
            words = [word for word, _ in group]
            start, end = float(words[0].start), float(words[-1].end)
            sound = samples[round(start * RATE) : round(end * RATE)]
            (logits,) = self.emotions.frame_logits([np.pad(sound, (0, max(0, LEAST - len(sound))))])
            odds = np.exp(logits.mean(axis=0) - logits.mean(axis=0).max())
            emotion = LABELS[int(odds.argmax())]
            yield {
                "start": start,
                "end": end,
                "speaker": speaker,
                "emotion": emotion,
                "score": float(max(odds / sum(odds))),
            }


def _speaker(word: Any, turns: Sequence[tuple[float, float, str]]) -> str | None:
    """Return the speaker whose turns overlap the word most."""
    shared: dict[str, float] = {}
    for start, end, speaker in turns:
        overlap = min(word.end, end) - max(word.start, start)
        if overlap > 0:
            shared[speaker] = shared.get(speaker, 0.0) + overlap
    return max(shared, key=lambda speaker: shared[speaker]) if shared else None
