"""The memory of the service during one long live stream."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np

from bench.processes import children_mb
from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.client import StreamingClient
from sensory_pipeline.client.streaming import CHUNK_S, paced

TIMES_AS_FAST = 6
"""How much faster than speech the sound is sent. The engines transcribe less often when sound comes faster."""
_SAMPLE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LongStream:
    """A long stream.

    Attributes:
        audio_s: Its length in seconds.
        wall_s: Seconds from its start to its last word.
        words: Number of final words.
        memory_mb: Memory of all processes of the service in MB while it went on, at even distances.
    """

    audio_s: float
    wall_s: float
    words: int
    memory_mb: tuple[float, ...]


def long_stream(url: str, sounds: Sequence[Waveform], audio_s: float) -> LongStream:
    """Stream recordings over and over, TIMES_AS_FAST as fast as they were spoken.

    Args:
        url: URL of the service, the only process that this one has started.
        sounds: The recordings.
        audio_s: Length of the stream in seconds.

    Raises:
        ServiceError: The service refused or ended the stream.
    """
    said = np.concatenate([sound.samples[0] for sound in sounds])
    step = round(SAMPLE_RATE * CHUNK_S)
    once = [said[start : start + step].tobytes() for start in range(0, len(said) - step + 1, step)]
    chunks = islice(cycle(once), round(audio_s / CHUNK_S))
    noted: list[float] = []
    over = threading.Event()

    def note() -> None:
        noted.append(children_mb())
        while not over.wait(_SAMPLE_S):
            noted.append(children_mb())

    watcher = threading.Thread(target=note)
    began = time.monotonic()
    watcher.start()
    try:
        sent = paced(chunks, SAMPLE_RATE * TIMES_AS_FAST)
        words = sum(len(message.words) for message in StreamingClient(url).stream(sent, language="en"))
    finally:
        over.set()
        watcher.join()
    return LongStream(audio_s=audio_s, wall_s=time.monotonic() - began, words=words, memory_mb=tuple(noted))
