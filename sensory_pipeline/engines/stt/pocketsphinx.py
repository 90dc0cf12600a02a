"""Provisional: replaced by the tuned adapter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np

from sensory_pipeline.core.errors import Terminal, UnsupportedLanguage
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.transcripts import Segment, Transcript, Word
from sensory_pipeline.engines.base import EngineInfo, TranscribeJob
from sensory_pipeline.engines.vad import speech_spans


class PocketSphinxTranscriber:
    info = EngineInfo(engine="pocketsphinx", model="en-us", revision="5.1.1", algorithm=0)

    def transcribe(self, jobs: Iterable[TranscribeJob]) -> Iterator[tuple[str, Transcript | Terminal]]:
        from pocketsphinx import Decoder

        for job in jobs:
            if job.settings.language not in ("auto", "en"):
                raise UnsupportedLanguage(f"pocketsphinx speaks only English: set SENSORY_LANGUAGE=en, not {job.settings.language}")
            decoder = Decoder(samprate=16000, loglevel="FATAL")
            segments = []
            samples = job.pcm.mono()
            for span in speech_spans(samples):
                part = samples[span.start_ms * 16 : span.end_ms * 16]
                decoder.start_utt()
                decoder.process_raw((part * 32767).astype(np.int16).tobytes(), full_utt=True)
                decoder.end_utt()
                words = tuple(
                    Word(
                        text=re.sub(r"\(\d+\)", "", s.word),
                        span=Span(start_ms=min(span.start_ms + s.start_frame * 10, span.end_ms), end_ms=min(span.start_ms + (s.end_frame + 1) * 10, span.end_ms)),
                        probability=min(1.0, max(0.0, decoder.get_logmath().exp(s.prob))),
                    )
                    for s in decoder.seg() or ()
                    if s.word[0] not in "<["
                )
                if words:
                    segments.append(Segment(span=Span(start_ms=words[0].span.start_ms, end_ms=words[-1].span.end_ms), text=" ".join(w.text for w in words), words=words))
            yield job.key, Transcript(language="en" if segments else None, segments=tuple(segments))
