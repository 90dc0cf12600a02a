"""Whisper (arXiv 2212.04356) by way of faster-whisper and CTranslate2.

Each recording is cut into clips of speech, which are decoded one by one, or in batches. A clip does
not see the text of the one before: what goes wrong in one stays there. What is decoded at a
temperature above 0, because it was doubtful, is drawn at random and may differ the next time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from sensory_pipeline.audio.pcm import Pcm
from sensory_pipeline.core.errors import ConfigurationError, EngineError, Terminal, UnsupportedLanguage
from sensory_pipeline.core.requests import TranscriptionSettings
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.core.transcripts import Segment, Transcript, Word
from sensory_pipeline.engines.base import EngineInfo, TranscribeJob
from sensory_pipeline.engines.cache import LoadedModel, ModelCache
from sensory_pipeline.engines.devices import ComputeType, Device
from sensory_pipeline.engines.stt.clips import cut, speech_clips
from sensory_pipeline.engines.stt.hallucinations import without_loops
from sensory_pipeline.engines.stt.whisper_models import WhisperFolder, resolve
from sensory_pipeline.engines.vad import Samples

if TYPE_CHECKING:
    from faster_whisper import WhisperModel
    from faster_whisper.transcribe import Segment as WhisperSegment


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What faster-whisper answers. offset_s: of its times in the recording; language: if detected for it alone."""

    segment: WhisperSegment
    offset_s: float
    language: str | None = None


_WINDOW_MS = 30_000
_PROMPT_TOKENS = 223  # half of what the decoder can hold, less one: faster-whisper cuts off the rest
_SEED = 0  # of the draws at temperatures above 0; once drawing, CTranslate2 takes no other (its issue 1757)
_DEVICE_FAULT = re.compile(r"cuda|cublas|cudnn", re.IGNORECASE)
_NO_MEMORY = re.compile(r"out of memory|ALLOC_FAILED", re.IGNORECASE)


class WhisperTranscriber:
    """A Transcriber. Its model is loaded, and downloaded if need be, with the first job.

    model: a name, a hub id or a folder (see whisper_models). cpu_threads: on a CPU; 0 for
    CTranslate2's own choice. batch_size: clips of a recording decoded together, for a GPU; None
    decodes one after the other. In batches a segment is a whole clip, and of the settings only the
    first temperature counts, and no threshold: faster-whisper's batches know no second attempt, nor
    do they tell the language of a clip.
    """

    def __init__(
        self,
        model: str,
        *,
        device: Device,
        compute_type: ComputeType,
        cache: ModelCache,
        cpu_threads: int = 0,
        batch_size: int | None = None,
    ) -> None:
        self._model = model
        self._device = device
        self._compute_type = compute_type
        self._cache = cache
        self._cpu_threads = cpu_threads
        self._batch_size = batch_size

    @property
    def info(self) -> EngineInfo:
        """Raises ConfigurationError when the model cannot be had."""
        folder = self._folder
        engine = "whisper" if self._batch_size is None else "whisper-batched"
        return EngineInfo(
            engine=engine,
            model=folder.name,
            revision=folder.revision,
            algorithm=1,
            device=f"{self._device.name} {self._compute_type}",
        )

    def transcribe(self, jobs: Iterable[TranscribeJob]) -> Iterator[tuple[str, Transcript | Terminal]]:
        """One answer a job, in order. Raises UnsupportedLanguage, and ConfigurationError when the
        model cannot be had or loaded, the device has no memory for it, or a prompt is too long."""
        for job in jobs:
            with self._leased() as model:
                _check(model, job.settings, self._model)
                answer = self._answer(model, job.pcm, job.settings)
            yield job.key, answer

    @cached_property
    def _folder(self) -> WhisperFolder:
        return resolve(self._model)

    @contextmanager
    def _leased(self) -> Iterator[WhisperModel]:
        folder = self._folder
        key = f"whisper {folder.path} {folder.revision} {self._device.name} {self._compute_type} {self._cpu_threads}"
        load = partial(_load, folder, self._device, self._compute_type, self._cpu_threads)
        with self._cache.lease(key, load, size_bytes=folder.size_bytes) as model:
            yield model

    def _answer(self, model: WhisperModel, pcm: Pcm, settings: TranscriptionSettings) -> Transcript | Terminal:
        try:
            return self._heard(model, pcm, settings)
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            # CTranslate2 has no exceptions of its own
            if _NO_MEMORY.search(str(error)):
                raise ConfigurationError(
                    f"{self._device.name} has too little memory for Whisper {self._model} in {self._compute_type} "
                    f"({error}): choose a smaller model, batch or beam, or another compute type"
                ) from error
            if _DEVICE_FAULT.search(str(error)):
                raise
            return EngineError(f"Whisper gave up: {type(error).__name__}: {error}")

    def _heard(self, model: WhisperModel, pcm: Pcm, settings: TranscriptionSettings) -> Transcript:
        samples = pcm.mono()
        clips = speech_clips(samples, round(settings.clip_s * 1000))
        if not clips:
            return Transcript(language=None, segments=())
        language = None if settings.language == "auto" else settings.language
        options = _options(settings)
        if self._batch_size is None:
            language = language or _detected(model, samples, clips)
            found = list(_one_by_one(model, samples, clips, language, options))
        else:
            language, found = _in_batches(model, samples, clips, self._batch_size, {"language": language, **options})
        segments = tuple(_segments(found, pcm.span, settings.max_repeats))
        return Transcript(language=language if segments else None, segments=segments)


def _load(folder: WhisperFolder, device: Device, compute_type: ComputeType, cpu_threads: int) -> LoadedModel[Any]:
    import ctranslate2
    from faster_whisper import WhisperModel

    ctranslate2.set_random_seed(_SEED)
    try:
        model = WhisperModel(
            str(folder.path),
            device=str(device.kind),
            device_index=device.ordinal,
            compute_type=str(compute_type),
            cpu_threads=cpu_threads,
            local_files_only=True,
        )
    except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"cannot load the Whisper model {folder.path} on {device.name} in {compute_type}: {error}. "
            "Choose another device or compute type; if the files are damaged or from a source you do not trust, "
            "get the model again"
        ) from error
    # CTranslate2 does not tell what memory a model takes; the file is as large where its types are kept
    return LoadedModel(model=model, size_bytes=folder.size_bytes, unload=model.model.unload_model)


def _check(model: WhisperModel, settings: TranscriptionSettings, name: str) -> None:
    known = [code for code in model.supported_languages if model.hf_tokenizer.token_to_id(f"<|{code}|>") is not None]
    if settings.language not in ("auto", *known):
        raise UnsupportedLanguage(
            f"Whisper {name} does not know the language {settings.language!r}, only {', '.join(known)}: "
            "choose one of them, or 'auto', or another model"
        )
    prompts = [f" {text.strip()}" for text in (settings.hotwords, settings.initial_prompt) if text]
    tokens = sum(len(model.hf_tokenizer.encode(text, add_special_tokens=False).ids) for text in prompts)
    if tokens > _PROMPT_TOKENS:
        raise ConfigurationError(
            f"hotwords and initial prompt are {tokens} tokens long, and Whisper takes {_PROMPT_TOKENS}: shorten them"
        )


def _detected(model: WhisperModel, samples: Samples, clips: Iterable[Span]) -> str:
    """By the first window's worth of speech."""
    if not model.model.is_multilingual:
        return "en"
    speech = np.concatenate([cut(samples, clip) for clip in _first_window(clips)])
    # as faster-whisper's own transcribe does; given the sound, it would cut it before computing the features
    return str(model.detect_language(features=model.feature_extractor(speech))[0])


def _first_window(clips: Iterable[Span]) -> Iterator[Span]:
    heard_ms = 0
    for clip in clips:
        if heard_ms >= _WINDOW_MS:
            return
        heard_ms += clip.duration_ms
        yield clip


def _options(settings: TranscriptionSettings) -> dict[str, Any]:
    """As both of faster-whisper's ways to transcribe take them."""
    return {
        "multilingual": settings.multilingual,
        "task": "translate" if settings.translate else "transcribe",
        "beam_size": settings.beam_size,
        "temperature": list(settings.temperatures),
        "initial_prompt": settings.initial_prompt,
        "hotwords": settings.hotwords,
        "compression_ratio_threshold": settings.compression_ratio_threshold,
        "log_prob_threshold": settings.log_prob_threshold,
        "no_speech_threshold": settings.no_speech_threshold,
        "hallucination_silence_threshold": settings.hallucination_silence_s,
        "condition_on_previous_text": False,
        "word_timestamps": True,
        "vad_filter": False,
    }


def _one_by_one(
    model: WhisperModel, samples: Samples, clips: Iterable[Span], language: str, options: dict[str, Any]
) -> Iterator[_Found]:
    for clip in clips:
        if not options["multilingual"]:
            segments, _ = model.transcribe(cut(samples, clip), language=language, **options)
            yield from (_Found(segment=segment, offset_s=clip.start_s) for segment in segments)
            continue
        # a clip fits a window, so the language detected for the one is that of the other
        segments, about = model.transcribe(cut(samples, clip), **options)
        yield from (_Found(segment=segment, offset_s=clip.start_s, language=about.language) for segment in segments)


def _in_batches(
    model: WhisperModel, samples: Samples, clips: Iterable[Span], batch_size: int, options: dict[str, Any]
) -> tuple[str, list[_Found]]:
    """With the language, by the first window's worth of speech where none is given."""
    from faster_whisper import BatchedInferencePipeline

    times = [{"start": clip.start_s, "end": clip.end_s} for clip in clips]
    # a pipeline keeps the time of the last word, so each recording has its own
    pipeline = BatchedInferencePipeline(model)
    segments, found = pipeline.transcribe(samples, clip_timestamps=times, batch_size=batch_size, **options)
    return found.language, [_Found(segment=segment, offset_s=0.0) for segment in segments]


def _segments(found: Sequence[_Found], recording: Span, max_repeats: int | None) -> Iterator[Segment]:
    """What is left without loops. Words are in order of their starts, inside the recording."""
    texts = [word.word for item in found for word in item.segment.words]
    kept = set(range(len(texts)) if max_repeats is None else without_loops(texts, max_repeats=max_repeats))
    indices = count()
    earliest_ms = 0
    for item in found:
        segment = item.segment
        said = [word for word in segment.words if next(indices) in kept]
        words = []
        for word in said:
            span = Span.from_seconds(item.offset_s + word.start, item.offset_s + word.end).clip(recording)
            start_ms = max(span.start_ms, earliest_ms)
            span = Span(start_ms=start_ms, end_ms=max(span.end_ms, start_ms))
            if text := word.word.strip():
                words.append(Word(text=text, span=span, probability=float(word.probability)))
                earliest_ms = start_ms
        if words:
            whole = segment.text if len(said) == len(segment.words) else "".join(word.word for word in said)
            yield Segment(
                span=cover(word.span for word in words),
                text=whole.strip(),
                words=tuple(words),
                language=item.language,
            )
