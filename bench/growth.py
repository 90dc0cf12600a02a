"""The memory that an engine holds while a thousand short recordings go through it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import cycle, islice

import psutil

from bench.comparison import Verdict
from bench.models import Models
from bench.recordings import recordings
from bench.transcription import PLAIN
from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.emotions import EmotionWindow
from sensory_pipeline.core.process_request import DiarizationSettings
from sensory_pipeline.engines.base import ClassifyJob, DiarizeJob, TranscribeJob
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.devices import CPU, ComputeType
from sensory_pipeline.engines.diarization.pyannote.diarizer import PyannoteDiarizer
from sensory_pipeline.engines.emotion.gigaam import GigaamClassifier
from sensory_pipeline.engines.stt.whisper import WhisperTranscriber

GROWING = ("whisper", "pyannote", "gigaam")
NOTES = 10
"""How often memory is recorded, at even distances."""
MOST_GROWTH, MOST_GROWTH_MB = 0.03, 30.0
"""Allowed growth of the maximum from the middle third of the records to the last; one of the two may be exceeded."""


def held_mb(engine: str, models: Models, count: int) -> list[float]:
    """Return the resident memory of this process in MB, after each tenth of the recordings."""
    process = psutil.Process()
    noted: list[float] = []
    for number, answer in enumerate(_answers(engine, models, count), start=1):
        if isinstance(answer, Exception):
            raise answer
        if number * NOTES % count < NOTES:
            noted.append(process.memory_info().rss / 1e6)
            print(f"{engine}: {number} of {count} done, {noted[-1]:.0f} MB held", file=sys.stderr)
    return noted


def judged(engine: str, noted: Sequence[float]) -> Verdict:
    """Check that memory no longer grows once everything has been used."""
    third = len(noted) // 3
    middle, last = max(noted[-2 * third : -third]), max(noted[-third:])
    return Verdict(
        what=f"{engine}: grows by less than {MOST_GROWTH:.0%} or {MOST_GROWTH_MB:.0f} MB in the last third",
        found=f"from {middle:.0f} to {last:.0f} MB",
        met=last - middle < max(MOST_GROWTH * middle, MOST_GROWTH_MB),
    )


def _answers(engine: str, models: Models, count: int) -> Iterator[object]:
    """Yield the engine's results for recordings of 1 to 2 s, each with its own samples."""
    cache = ModelCache(CacheSettings(ttl_s=None))
    pieces = recordings(1, 2, total_s=150)
    numbered = enumerate(Waveform(samples=piece.samples.copy()) for piece in islice(cycle(pieces), count))
    if engine == "whisper":
        transcriber = WhisperTranscriber(str(models.tiny), device=CPU, compute_type=ComputeType.INT8, cache=cache)
        for _, transcript in transcriber.transcribe(
            TranscribeJob(key=str(number), pcm=pcm, settings=PLAIN) for number, pcm in numbered
        ):
            yield transcript
    elif engine == "pyannote":
        diarizer = PyannoteDiarizer(str(models.pyannote), cache=cache)
        for _, diarization in diarizer.diarize(
            DiarizeJob(key=str(number), pcm=pcm, settings=DiarizationSettings()) for number, pcm in numbered
        ):
            yield diarization
    else:
        classifier = GigaamClassifier(str(models.gigaam), cache=cache)
        for _, emotions in classifier.classify(
            ClassifyJob(key=str(number), pcm=pcm, windows=(_whole(pcm),), language=None) for number, pcm in numbered
        ):
            yield emotions


def _whole(pcm: Waveform) -> EmotionWindow:
    return EmotionWindow(span=pcm.span, turn=pcm.span, speaker=None)
