"""Diarization that needs no weights but the voice activity detector's, and no GPU.

Speech is cut at its pauses (Silero VAD), the pieces are grouped by voice (clustering), and changes
of voice are then placed frame by frame (resegmentation). Good for people who take turns. Of people
who talk at once it finds one, so it is of little use in a lively meeting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import version

import numpy as np
import numpy.typing as npt

from sensory_pipeline.audio.pcm import Pcm
from sensory_pipeline.core.diarization import Diarization, Turn, label
from sensory_pipeline.core.errors import Terminal
from sensory_pipeline.core.requests import DiarizationSettings
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines import vad
from sensory_pipeline.engines.activity import ActivityLog
from sensory_pipeline.engines.base import DiarizeJob, EngineInfo
from sensory_pipeline.engines.diarization.clustering import cluster, merge, null_ratio
from sensory_pipeline.engines.diarization.mfcc import HOP_MS, Cepstra, mfcc
from sensory_pipeline.engines.diarization.resegmentation import resegment
from sensory_pipeline.engines.spec import EngineSpec

_PAUSE_MS = 300  # a shorter silence of one speaker does not end the turn
_AUDIBLE_DB = 20  # below the loud frames of the same piece of speech
_STRETCH = 300  # frames; a longer piece is divided before clustering
_TELLING = 40  # audible frames that say something of a voice

Indices = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


class OfflineDiarizer:
    """A Diarizer for any machine: see the module. Overlap is not found: exclusive turns equal turns."""

    def __init__(self, activity: ActivityLog | None = None) -> None:
        self._activity = activity or ActivityLog()

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(
            engine="offline",
            model=f"{vad.MODEL}+glr",
            revision=f"faster-whisper-{version('faster-whisper')}",
            algorithm=2,
        )

    def diarize(self, jobs: Iterable[DiarizeJob]) -> Iterator[tuple[str, Diarization | Terminal]]:
        """One answer a job, in order of the jobs.

        A wanted number of speakers is kept as far as the recording has that many pieces of speech.
        """
        for job in jobs:
            with self._activity.noting("device", "clustering voices"):
                turns = _turns(job.pcm, job.settings)
            yield job.key, Diarization(turns=turns, exclusive=turns)


def _turns(pcm: Pcm, settings: DiarizationSettings) -> tuple[Turn, ...]:
    samples = pcm.mono()
    cepstra, energy = mfcc(samples)
    spans = vad.speech_spans(samples, threshold=0.4, min_silence_ms=150, min_speech_ms=60, pad_ms=60)
    pieces = [np.arange(span.start_ms // HOP_MS, min(span.end_ms // HOP_MS, len(cepstra))) for span in spans]
    if not pieces:
        return ()
    audible = [energy[piece] > np.percentile(energy[piece], 95) - _AUDIBLE_DB for piece in pieces]
    frames = np.concatenate(pieces)
    voices = _voices(cepstra[frames], audible, settings)
    edges = np.flatnonzero((np.diff(voices) != 0) | (np.diff(frames) * HOP_MS >= _PAUSE_MS))
    firsts, lasts = np.append(0, edges + 1), np.append(edges, len(frames) - 1)
    names = {voice: label(index) for index, voice in enumerate(dict.fromkeys(voices[firsts].tolist()))}
    return tuple(
        Turn(
            span=Span(start_ms=int(frames[first]) * HOP_MS, end_ms=int(frames[last] + 1) * HOP_MS),
            speaker=names[int(voices[first])],
        )
        for first, last in zip(firsts, lasts, strict=True)
    )


def _voices(cepstra: Cepstra, audible: list[Mask], settings: DiarizationSettings) -> Indices:
    """The voice of each frame of speech. cepstra: pieces end to end; audible: a mask for each piece."""
    least = settings.speakers or settings.min_speakers or 1
    most = settings.speakers or settings.max_speakers
    starts = np.cumsum([0, *map(len, audible)])
    stretches = [
        start + part
        for start, mask in zip(starts, audible, strict=False)
        for part in np.array_split(np.flatnonzero(mask), -(-len(mask) // _STRETCH))
    ]
    telling = [stretch for stretch in stretches if len(stretch) >= _TELLING]
    if len(telling) < least:
        telling = stretches
    voiced = [cepstra[stretch] for stretch in telling]
    null = null_ratio(voiced)
    centres = np.array([stretch.mean() for stretch in telling])
    nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, np.arange(len(cepstra)))
    heard, after_pause = np.concatenate(audible), np.isin(np.arange(len(cepstra)), starts)

    def placed(labels: Indices) -> Indices:
        return resegment(cepstra, labels, audible=heard, after_pause=after_pause, least=least)

    clusters = placed(cluster(voiced, null, least=least)[nearest])
    names, clusters = np.unique(clusters, return_inverse=True)
    members = [cepstra[heard & (clusters == name)] for name in range(len(names))]
    return placed(merge(members, null, least=least, most=most)[clusters])


ENGINE = EngineSpec(
    name="onnx", stage=Stage.DIARIZATION, about="", make=lambda _choice, workshop: OfflineDiarizer(workshop.activity)
)
