"""Speech to text for a first run anywhere: PocketSphinx, with the English model its wheel carries.

One process, one thread: the decoder holds Python's lock while it works, so threads gain nothing.
Whoever has several cores runs one engine in each of several processes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import numpy as np

from sensory_pipeline.audio.pcm import SAMPLE_RATE
from sensory_pipeline.core.errors import Terminal, UnsupportedLanguage
from sensory_pipeline.core.pauses import parts, stretches
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.core.transcripts import Segment, Transcript, Word
from sensory_pipeline.engines import vad
from sensory_pipeline.engines.activity import ActivityLog
from sensory_pipeline.engines.base import EngineInfo, TranscribeJob
from sensory_pipeline.engines.stt.bandwidth import Samples, widened
from sensory_pipeline.engines.stt.denoising import Spectrum, denoised, noise_power

_FRAME_MS = 10
_PAD_MS = 250  # with less, first words suffer
_PAUSE_MS = 300  # ends a segment
_APART_MS = 300  # between padded spans; ends an utterance, over which the decoder evens out the channel
_LONGEST_MS = 20_000  # of an utterance; the decoder's time and memory grow with it
_VARIANT = re.compile(r"\(\d+\)$")  # of pronunciation, which the decoder marks on the word


class PocketSphinxTranscriber:
    """A Transcriber for English, with PocketSphinx's default parameters.

    settings.beam_size does not apply: this decoder's beams are widths, not numbers of hypotheses.
    """

    def __init__(self, activity: ActivityLog | None = None) -> None:
        self._activity = activity or ActivityLog()

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(
            engine="pocketsphinx",
            model=f"en-us+{vad.MODEL}",
            revision=f"pocketsphinx-{version('pocketsphinx')}+faster-whisper-{version('faster-whisper')}",
            algorithm=6,
            heeds=frozenset({"language"}),
            languages=frozenset({"en"}),
        )

    def transcribe(self, jobs: Iterable[TranscribeJob]) -> Iterator[tuple[str, Transcript | Terminal]]:
        """One answer a job, in order of the jobs. Raises UnsupportedLanguage for any but English."""
        for job in jobs:
            language = job.settings.language
            if language not in ("auto", "en"):
                raise UnsupportedLanguage(
                    f"pocketsphinx transcribes English only, not {language!r}: "
                    "set SENSORY_LANGUAGE to en or auto, or choose another engine with SENSORY_STT"
                )
            with self._activity.noting("host", "looking for speech"):
                samples = job.pcm.mono()
                speech = vad.speech_spans(samples, pad_ms=_PAD_MS)
                noise = noise_power(samples, speech)
            with self._activity.noting("device", "pocketsphinx"):
                segments = tuple(
                    segment for span in utterances(speech) for segment in self._segments(samples, span, noise)
                )
            yield job.key, Transcript(language="en" if segments else None, segments=segments)

    @cached_property
    def _decoder(self) -> Any:
        from pocketsphinx import Decoder

        return Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")

    def _segments(self, samples: Samples, span: Span, noise: Spectrum | None) -> Iterator[Segment]:
        """The phrases of one utterance."""
        words = self._words(samples, span, noise)
        pauses = [i for i, (word, after) in enumerate(pairwise(words), 1) if word.span.gap_ms(after.span) >= _PAUSE_MS]
        for first, last in pairwise([0, *pauses, len(words)]):
            if phrase := words[first:last]:
                yield Segment(
                    span=cover(word.span for word in phrase),
                    text=" ".join(word.text for word in phrase),
                    words=phrase,
                )

    def _words(self, samples: Samples, span: Span, noise: Spectrum | None) -> tuple[Word, ...]:
        first, last = (ms * SAMPLE_RATE // 1000 for ms in (span.start_ms, span.end_ms))
        heard = samples[first:last] if noise is None else denoised(samples[first:last], noise)
        pcm = np.clip(np.round(widened(heard) * 32768), -32768, 32767).astype("<i2")
        self._decoder.reinit_feat()  # or its noise estimate carries over from what came before
        self._decoder.start_utt()
        self._decoder.process_raw(pcm.tobytes(), full_utt=True)
        self._decoder.end_utt()
        return tuple(
            Word(
                text=_VARIANT.sub("", said.word),
                span=Span(
                    start_ms=span.start_ms + said.start_frame * _FRAME_MS,
                    end_ms=span.start_ms + (said.end_frame + 1) * _FRAME_MS,
                ).clip(span),
                probability=min(max(said.prob, 0.0), 1.0),
            )
            for said in self._decoder.seg() or ()
            if said.word[0] not in "<["
        )


def utterances(speech: Sequence[Span]) -> Iterator[Span]:
    """Stretches of speech between longer pauses, at most 20 s each. speech: in order of time, disjoint."""
    spans = [part for span in speech for part in parts(span, _LONGEST_MS)]
    breaks = [i for i, (span, after) in enumerate(pairwise(spans), 1) if span.gap_ms(after) >= _APART_MS]
    for first, last in pairwise([0, *breaks, len(spans)]):
        for run in stretches(spans[first:last], _LONGEST_MS):
            yield cover(spans[first:last][run])
