"""Whisper over a stream of recordings, beside faster-whisper's own batched pipeline in a loop over them.

Both have their model in one process, with the base shape in int8, beam 5, on the same sound.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.comparison import Comparison, Limit, benchmark
from bench.models import Models
from bench.recordings import recordings
from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.process_request import TranscriptionSettings
from sensory_pipeline.engines.base import TranscribeJob
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.devices import CPU, ComputeType
from sensory_pipeline.engines.stt.whisper import WhisperTranscriber

THREADS = 2
BATCH = 8
THEIRS, OURS = "faster-whisper, file by file", "engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which recordings are transcribed.

    Attributes:
        shortest_s: Shortest recording in seconds.
        longest_s: Longest recording in seconds.
        language: ISO 639-1 code, or "auto".
    """

    shortest_s: float
    longest_s: float
    language: str

    def __str__(self) -> str:
        given = "auto" if self.language == "auto" else "given"
        return f"{self.shortest_s:.0f} to {self.longest_s:.0f} s, language {given}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition(Selection):
    """A set of recordings with its threshold.

    Attributes:
        total_s: Length of all together in seconds.
        at_least: Minimum speed relative to faster-whisper.
        never_slower: Whether we must be at least as fast in every round.
    """

    total_s: float
    at_least: float
    never_slower: bool = False


CONDITIONS = (
    Condition(shortest_s=2, longest_s=15, total_s=100, language="auto", at_least=1.6),
    Condition(shortest_s=2, longest_s=15, total_s=100, language="en", at_least=1.2),
    Condition(shortest_s=2, longest_s=90, total_s=200, language="auto", at_least=1.3, never_slower=True),
    Condition(shortest_s=2, longest_s=90, total_s=200, language="en", at_least=1.0, never_slower=True),
)
PLAIN = TranscriptionSettings(
    temperatures=(0.0,),
    max_repeats=None,
    lost_speech_s=None,
    language_detection_threshold=None,
    no_speech_threshold=None,
)
"""As faster-whisper decodes batches: once, whatever the quality."""


def comparisons(models: Models, rounds: int) -> Iterator[Comparison]:
    """Yield one comparison for each condition."""
    from faster_whisper import BatchedInferencePipeline

    with _engine_and_model(models.whisper) as (engine, model):
        for condition in CONDITIONS:
            pcms = recordings(condition.shortest_s, condition.longest_s, total_s=condition.total_s)
            limit = Limit(faster=OURS, slower=THEIRS, at_least=condition.at_least, never_slower=condition.never_slower)
            yield benchmark(
                f"transcription, {len(pcms)} recordings of {condition}",
                sum(pcm.duration_ms for pcm in pcms) / 1000,
                {
                    THEIRS: partial(
                        their_words,
                        BatchedInferencePipeline(model),
                        pcms,
                        condition.language,
                        batch_size=BATCH,
                        temperature=0.0,
                    ),
                    OURS: partial(our_words, engine, pcms, PLAIN.model_copy(update={"language": condition.language})),
                },
                rounds,
                threads=THREADS,
                limits=[limit],
            )


def their_words(pipeline: Any, pcms: Sequence[Waveform], language: str, **options: Any) -> int:
    """Return how many words faster-whisper finds, file by file, after its VAD.

    Args:
        pipeline: faster-whisper's model or batched pipeline.
        pcms: The recordings.
        language: ISO 639-1 code, or "auto".
        options: Further options of its `transcribe`.
    """
    words = 0
    for pcm in pcms:
        segments, _ = pipeline.transcribe(
            pcm.mono(),
            language=None if language == "auto" else language,
            beam_size=PLAIN.beam_size,
            vad_filter=True,
            word_timestamps=True,
            **options,
        )
        words += sum(len(segment.words) for segment in segments)
    return words


def our_words(engine: WhisperTranscriber, pcms: Sequence[Waveform], settings: TranscriptionSettings) -> int:
    """Return how many words the engine finds in all recordings together.

    Args:
        engine: The engine.
        pcms: The recordings.
        settings: Settings of the transcription.

    Raises:
        Terminal: A recording failed.
    """
    jobs = (TranscribeJob(key=f"{index}", pcm=pcm, settings=settings) for index, pcm in enumerate(pcms))
    words = 0
    for _, answer in engine.transcribe(jobs):
        if isinstance(answer, Exception):
            raise answer
        words += len(answer.words)
    return words


@contextmanager
def _engine_and_model(folder: Path) -> Iterator[tuple[WhisperTranscriber, Any]]:
    """Load our engine and faster-whisper's model, with the same number of threads."""
    from faster_whisper import WhisperModel

    model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=THREADS)
    with closing(ModelCache(CacheSettings(ttl_s=None))) as cache:
        engine = WhisperTranscriber(
            str(folder), device=CPU, compute_type=ComputeType.INT8, cache=cache, cpu_threads=THREADS, batch_size=BATCH
        )
        our_words(engine, recordings(2, 3, total_s=2), PLAIN.model_copy(update={"language": "en"}))
        yield engine, model
