"""The systems that are measured: the product as `sensory process` runs it, and libraries as in their documentation.

All use the same weights: faster-whisper's model is the product's folder, in int8 on a CPU with beam 5 as there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from bench.attribution import overlap
from bench.diarization import open_pyannote, stock_turns
from bench.hypotheses import Hypothesis, HypothesisWord
from bench.labelled import Recording
from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.waveform import SAMPLE_RATE
from sensory_pipeline.core.diarization import Diarization, Turn
from sensory_pipeline.core.process_request import Task
from sensory_pipeline.core.results import RecordingResult
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.engines.catalogue.store import Store
from sensory_pipeline.engines.diarization.open_networks import FILES
from sensory_pipeline.engines.selection import Engines, chosen_engines
from sensory_pipeline.engines.stt.whisper_models import resolve
from sensory_pipeline.processing.setup import engine_choice
from sensory_pipeline.processing.single_file import process_file
from sensory_pipeline.settings import Settings

AUTO, GIVEN = "auto", "given"
LANGUAGES = (AUTO, GIVEN)
OURS, STEREO = "ours", "ours, stereo"
SEQUENTIAL, BATCHED = "faster-whisper, VAD", "faster-whisper, batched"
WHISPERX = "as WhisperX"
STOCK = "pyannote.audio"
LONGEST_S = 12 * 3600
LONGEST_CLIP_MS = 30_000


class System(Protocol):
    """A system to measure.

    Attributes:
        name: Name of its column.
        languages: Whether it is given the language, detects it, or both.
    """

    @property
    def name(self) -> str: ...

    @property
    def languages(self) -> Sequence[str]: ...

    def hears(self, recording: Recording) -> bool:
        """Return whether it processes such a recording."""

    def lacks(self) -> str | None:
        """Return what it needs that is missing here; None if it can run."""

    def hypothesis(self, recording: Recording, language: str) -> Hypothesis:
        """Process a recording.

        Args:
            recording: The recording.
            language: AUTO or GIVEN.

        Raises:
            Exception: It failed.
        """


@dataclass(frozen=True, kw_only=True)
class Product:
    """`sensory process`. It diarizes recordings with labelled speakers, and only with the language detected."""

    settings: Settings
    stereo: bool = False
    languages: Sequence[str] = LANGUAGES

    @property
    def name(self) -> str:
        return STEREO if self.stereo else OURS

    def hears(self, recording: Recording) -> bool:
        return not self.stereo or recording.channels == 2

    def lacks(self) -> str | None:
        return None

    def hypothesis(self, recording: Recording, language: str) -> Hypothesis:
        diarized = language == AUTO and recording.turns
        asked = self.settings.request()
        request = asked.model_copy(
            update={
                "tasks": frozenset({Task.TRANSCRIBE, Task.DIARIZATION} if diarized else {Task.TRANSCRIBE}),
                "stereo": self.stereo,
                "tra": asked.tra.model_copy(update={"language": recording.language if language == GIVEN else AUTO}),
            }
        )
        return _hypothesis(process_file(recording.file, request, self._engines, max_audio_hours=LONGEST_S / 3600))

    @cached_property
    def _engines(self) -> Engines:
        return chosen_engines(engine_choice(self.settings, stereo=self.stereo))


def _hypothesis(result: RecordingResult) -> Hypothesis:
    if result.transcript is None:
        raise ValueError("nobody asked for a transcript")
    turns = result.diarization or Diarization(turns=(), exclusive=())
    words = [word for utterance in result.utterances for word in utterance.words]
    usual = overlap([word.word for word in words], turns, exclusive=False, nearest=False)
    return Hypothesis(
        text=result.transcript.text,
        language=result.transcript.language,
        words=tuple(
            HypothesisWord(text=word.word.text, span=word.word.span, speaker=word.speaker, by_overlap=speaker)
            for word, speaker in zip(words, usual, strict=True)
        ),
        turns=None if result.diarization is None else result.diarization.turns,
    )


@dataclass(frozen=True, kw_only=True)
class FasterWhisper:
    """faster-whisper on one file after the other.

    Attributes:
        model: Folder of the model.
        threads: Number of threads.
        batched: Whether to decode in batches; otherwise one window after the other, after its VAD.
        languages: Whether it is given the language, detects it, or both.
    """

    model: Path
    threads: int
    batched: bool = False
    languages: Sequence[str] = LANGUAGES

    @property
    def name(self) -> str:
        return BATCHED if self.batched else SEQUENTIAL

    def hears(self, recording: Recording) -> bool:
        return True

    def lacks(self) -> str | None:
        return None

    def hypothesis(self, recording: Recording, language: str) -> Hypothesis:
        segments, about = self._pipeline.transcribe(
            str(recording.file),
            language=recording.language if language == GIVEN else None,
            beam_size=5,
            vad_filter=True,
            word_timestamps=True,
        )
        return _heard(list(segments), about.language)

    @cached_property
    def _pipeline(self) -> Any:
        from faster_whisper import BatchedInferencePipeline, WhisperModel

        model = WhisperModel(str(self.model), device="cpu", compute_type="int8", cpu_threads=self.threads)
        return BatchedInferencePipeline(model) if self.batched else model


def _heard(segments: Iterable[Any], language: str) -> Hypothesis:
    found = list(segments)
    return Hypothesis(
        text="".join(segment.text for segment in found).strip(),
        language=language if found else None,
        words=tuple(
            HypothesisWord(text=word.word.strip(), span=Span.from_seconds(word.start, word.end))
            for segment in found
            for word in segment.words
        ),
    )


@dataclass(frozen=True, kw_only=True)
class WhisperxWay(FasterWhisper):
    """Transcribes like WhisperX.

    It cuts pieces of at most 30 s, from the first to the last speech in them, with everything in between. Each is
    decoded once, in batches, without timestamps, in the language of the first 30 s.
    """

    languages: Sequence[str] = (AUTO,)
    batched: bool = True

    @property
    def name(self) -> str:
        return WHISPERX

    def hypothesis(self, recording: Recording, language: str) -> Hypothesis:
        from faster_whisper import decode_audio
        from faster_whisper.vad import get_speech_timestamps

        samples = decode_audio(str(recording.file))
        whole = Span(start_ms=0, end_ms=len(samples) * 1000 // SAMPLE_RATE)  # faster-whisper fails beyond the end
        spans = [
            Span.from_seconds(speech["start"] / SAMPLE_RATE, speech["end"] / SAMPLE_RATE).clip(whole)
            for speech in get_speech_timestamps(samples, max_speech_duration_s=LONGEST_CLIP_MS / 1000)
        ]
        pieces: list[Span] = []
        for span in spans:
            if pieces and span.end_ms - pieces[-1].start_ms <= LONGEST_CLIP_MS:
                pieces[-1] = cover((pieces[-1], span))
            else:
                pieces.append(span)
        if not pieces:
            return Hypothesis(text="", words=())
        segments, about = self._pipeline.transcribe(
            samples,
            beam_size=5,
            vad_filter=False,
            clip_timestamps=[{"start": piece.start_s, "end": piece.end_s} for piece in pieces],
            word_timestamps=True,
        )
        return _heard(list(segments), about.language)


@dataclass(frozen=True, kw_only=True)
class StockPyannote:
    """pyannote.audio's own pipeline, with the product's networks and parameters."""

    store: Store
    name: str = STOCK
    languages: Sequence[str] = (AUTO,)

    def hears(self, recording: Recording) -> bool:
        return bool(recording.turns)

    def hypothesis(self, recording: Recording, language: str) -> Hypothesis:
        pcm = decode(recording.file, max_duration_s=LONGEST_S).pcm
        return Hypothesis(
            turns=tuple(
                Turn(span=Span(start_ms=start_ms, end_ms=end_ms), speaker=str(speaker))
                for start_ms, end_ms, speaker in stock_turns(self._pipeline, pcm)
            )
        )

    def lacks(self) -> str | None:
        """Return what it needs that is missing here; None if it can run."""
        absent = [package for package in ("torch", "pyannote") if find_spec(package) is None]
        absent += [model for model in FILES if not self.store.here(model)]
        return ", ".join(absent) or None

    @cached_property
    def _pipeline(self) -> Any:
        return open_pyannote(self.store)


def all_systems(settings: Settings, *, threads: int) -> list[System]:
    """Return all systems in the order of their columns.

    Raises:
        ConfigurationError: The product's own models are not available.
    """
    choice = engine_choice(settings)
    folder = resolve(choice.whisper_model_size, choice.store).path
    return [
        Product(settings=settings),
        Product(settings=settings, stereo=True, languages=(AUTO,)),
        FasterWhisper(model=folder, threads=threads),
        FasterWhisper(model=folder, threads=threads, batched=True, languages=(AUTO,)),
        StockPyannote(store=choice.store),
    ]
