"""The miniature Whisper, the engine that uses it, and sounds for it. Some tests put a model of their own where the
engine looks for its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.errors import Terminal
from sensory_pipeline.core.process_request import TranscriptionSettings
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.engines.base import TranscribeJob
from sensory_pipeline.engines.cache import CacheSettings, LoadedModel, ModelCache
from sensory_pipeline.engines.devices import CPU, ComputeType, Device
from sensory_pipeline.engines.selection import Engines
from sensory_pipeline.engines.stt.clip_boundaries import speech_clips, with_margins
from sensory_pipeline.engines.stt.whisper import WhisperTranscriber
from sensory_pipeline_tests.trivial_engines import trivial

DATA = Path(__file__).parent / "data"
MINIATURE = DATA / "miniatures" / "whisper"
CONVERSATIONS = DATA / "miniatures" / "conversations"
SAMPLES = Path(__file__).parents[1] / "samples"
PLAIN = TranscriptionSettings(
    temperatures=(0.0,), language_detection_threshold=None, lost_speech_s=None, max_repeats=None, window_padding_s=None
)
"""Nothing at random, and nothing that faster-whisper does not do."""
REQUESTS = {
    "as it comes": PLAIN,
    "greedy": PLAIN.model_copy(update={"beam_size": 1}),
    "Russian": PLAIN.model_copy(update={"language": "ru"}),
    "translated": PLAIN.model_copy(update={"language": "ru", "translate": True, "beam_size": 2}),
    "languages mixed": PLAIN.model_copy(update={"language": "en", "multilingual": True}),
    "short clips": PLAIN.model_copy(update={"clip_s": 4.0}),
    "prompted": PLAIN.model_copy(update={"initial_prompt": "three four", "hotwords": "seven eight"}),
    "strict": PLAIN.model_copy(
        update={"no_speech_threshold": 0.01, "log_prob_threshold": -0.05, "hallucination_silence_s": 0.3}
    ),
}
LONGEST_MS = 30_000
CHOKED = "No position encodings are defined for positions >= 448, but got position 448"
ENGLISH = SimpleNamespace(language="en")


def faster_whisper(
    folder: Path, device: Device = CPU, compute_type: ComputeType = ComputeType.INT8, *, workers: int = 1
) -> Any:
    from faster_whisper import WhisperModel

    return WhisperModel(
        str(folder),
        device=str(device.kind),
        device_index=device.ordinal,
        compute_type=str(compute_type),
        cpu_threads=1,
        num_workers=workers,
    )


def engine(model: Path | str, cache: ModelCache, **options: Any) -> WhisperTranscriber:
    options = {"device": CPU, "compute_type": ComputeType.INT8, "cpu_threads": 1, **options}
    return WhisperTranscriber(str(model), cache=cache, **options)


def miniature() -> Engines:
    """Of processes that transcribe with it and do nothing else well."""
    cache = ModelCache(CacheSettings(ttl_s=None))
    return replace(trivial(), transcriber=engine(MINIATURE, cache), cache=cache)


def answer(
    transcriber: WhisperTranscriber, pcm: Waveform, request: TranscriptionSettings = PLAIN
) -> Transcript | Terminal:
    ((key, value),) = transcriber.transcribe([TranscribeJob(key="it", pcm=pcm, settings=request)])
    assert key == "it"
    return value


def heard(transcriber: WhisperTranscriber, pcm: Waveform, request: TranscriptionSettings = PLAIN) -> Transcript:
    value = answer(transcriber, pcm, request)
    assert isinstance(value, Transcript), value
    return value


def conversation(name: str) -> Waveform:
    return decode(CONVERSATIONS / f"{name}.flac", max_duration_s=60).pcm


def phrase(name: str) -> Waveform:
    """The first turn of a conversation: one clip."""
    return conversation(name).cut(Span(start_ms=2000, end_ms=6000))


def jobs(*pcms: Waveform, request: TranscriptionSettings = PLAIN) -> Iterator[TranscribeJob]:
    for index, pcm in enumerate(pcms):
        yield TranscribeJob(key=str(index), pcm=pcm, settings=request)


def said(*words: tuple[str, float, float], probability: float = 0.5) -> SimpleNamespace:
    spoken = [SimpleNamespace(word=text, start=start, end=end, probability=probability) for text, start, end in words]
    return SimpleNamespace(text="".join(text for text, _, _ in words), words=spoken)


def clip_spans(samples: npt.NDArray[np.float32], longest_ms: int) -> tuple[Span, ...]:
    whole = Span(start_ms=0, end_ms=len(samples) // 16)
    return tuple(with_margins(speech_clips(samples, longest_ms), whole, longest_ms))


def clips_of(pcm: Waveform, request: TranscriptionSettings) -> tuple[Span, ...]:
    return clip_spans(pcm.mono(), round(request.clip_s * 1000))


def with_model(folder: Path, transcribe: Callable[..., Any]) -> tuple[WhisperTranscriber, ModelCache]:
    """An engine that decodes one by one with `transcribe`; everything else is the miniature's."""
    standing_in = faster_whisper(folder)
    standing_in.transcribe = transcribe
    return with_standing_in(folder, standing_in, batch_size=1)


def with_standing_in(folder: Path, model: Any, **options: Any) -> tuple[WhisperTranscriber, ModelCache]:
    """An engine that finds this model where it looks for its own."""
    cache = ModelCache(CacheSettings(ttl_s=None))
    transcriber = engine(folder, cache, **options)
    with cache.lease(transcriber.key, lambda: LoadedModel(model=model, size_bytes=1, unload=lambda: None)):
        return transcriber, cache


def choking_on(folder: Path, *sounds: Waveform, workers: int = 1) -> Any:
    """The miniature, whose encoder fails on these clips, alone or not."""
    model = faster_whisper(folder, workers=workers)
    encode = model.encode
    bad = [model.feature_extractor(sound.mono())[..., :-1] for sound in sounds]

    def choking(window: npt.NDArray[np.float32]) -> Any:
        for mel in bad:
            if np.array_equal(window[:, : mel.shape[1]], mel) and not window[:, mel.shape[1] :].any():
                raise RuntimeError(CHOKED)
        return encode(window)

    model.encode = choking
    return model
