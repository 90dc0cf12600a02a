"""One stream of live speech, sent in real time, and when its words came."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np

from bench.normalisation import normalised
from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.client import StreamingClient
from sensory_pipeline.client.results import Word
from sensory_pipeline.client.streaming import CHUNK_S, paced

_SAME_S = 0.5  # words whose starts are closer than this are the same word


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """One recording, streamed once.

    Attributes:
        name: Its name.
        duration_s: Its length in seconds.
        behind_s: Seconds from the end of its sound to the end of the stream.
        final_s: Latency of each word in seconds.
        partial_s: The same, until it first appeared as a partial word.
        taken_back: Number of words that were taken back.
        text: Text of the final words.
        batch: Text of the batch answer; empty if it does not matter.
    """

    name: str
    duration_s: float
    behind_s: float
    final_s: tuple[float, ...]
    partial_s: tuple[float, ...]
    taken_back: int
    text: str
    batch: str

    @property
    def in_both(self) -> tuple[int, int]:
        """Number of words of the batch answer that are also in the stream's text, and number of all its words."""
        return in_both(self.batch, self.text)


def in_both(batch: str, other: str) -> tuple[int, int]:
    """Return the number of words of a batch answer that are also in another text, and the number of all its words."""
    words, others = (normalised(text, "en").split() for text in (batch, other))
    blocks = SequenceMatcher(a=words, b=others, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks), len(words)


def streamed(url: str, sound: Waveform, *, name: str, batch: str = "") -> Streamed:
    """Stream a recording in real time.

    Args:
        url: URL of the service.
        sound: The recording, of one channel.
        name: Its name.
        batch: Text of the batch answer.

    Raises:
        ServiceError: The service refused or ended the stream.
    """
    data = sound.samples.tobytes()
    step = round(SAMPLE_RATE * CHUNK_S) * 2
    began = time.monotonic()
    chunks = paced((data[start : start + step] for start in range(0, len(data), step)), SAMPLE_RATE)
    shown: list[tuple[Word, float]] = []
    final: list[tuple[Word, float]] = []
    last_s, number, taken_back = 0.0, 0, 0
    for message in StreamingClient(url).stream(chunks, language="en"):
        now = time.monotonic() - began
        shown += ((word, now) for word in (*message.words, *message.partial))
        if message.words:
            taken_back += message["number"] != number + 1
            number = message["number"]
        for word in message.words:
            taken_back += word.start < last_s
            last_s = word.end
            final.append((word, now))
    return Streamed(
        name=name,
        duration_s=sound.duration_ms / 1000,
        behind_s=time.monotonic() - began - sound.duration_ms / 1000,
        final_s=tuple(now - word.end for word, now in final),
        partial_s=tuple(_first(word, shown) - word.end for word, _ in final),
        taken_back=taken_back,
        text=" ".join(word.text for word, _ in final),
        batch=batch,
    )


def _first(word: Word, shown: Sequence[tuple[Word, float]]) -> float:
    """Return when a word was first shown."""
    return min(
        now
        for other, now in shown
        if normalised(other.text, "en") == normalised(word.text, "en") and abs(other.start - word.start) < _SAME_S
    )


def spread(latencies: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return the median and the 95th percentile of the latencies of all streams."""
    found = np.percentile([latency for each in latencies for latency in each], [50, 95])
    return float(found[0]), float(found[1])
