"""Whisper against faster-whisper itself."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.core.pauses import parts
from sensory_pipeline.core.process_request import TranscriptionSettings
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.devices import COMPUTE_TYPES, ComputeType, Device
from sensory_pipeline.engines.stt.clip_boundaries import speech_clips
from sensory_pipeline.engines.stt.whisper import WhisperTranscriber
from sensory_pipeline_tests import places
from sensory_pipeline_tests.miniature_whisper import (
    CONVERSATIONS,
    PLAIN,
    REQUESTS,
    SAMPLES,
    clip_spans,
    conversation,
    engine,
    faster_whisper,
    heard,
    phrase,
)

LIBRISPEECH = places.SHARED / "audio" / "librispeech"
Line = tuple[str, int, int]
"""A word, and where it starts and ends in ms."""


@pytest.fixture(scope="module")
def reference(whisper: Path) -> Any:
    return faster_whisper(whisper)


def recordings(*, every: bool) -> list[Waveform]:
    """In two languages, by several synthesizers and people, whole and in pieces; one of noise. every: or a few."""
    noise = np.random.default_rng(1).normal(0, 300, (1, 3 * SAMPLE_RATE)).astype(np.int16)
    paths = [path for path in sorted(SAMPLES.glob("*.*")) if (SAMPLES / "truth" / f"{path.name}.json").exists()]
    paths += sorted(LIBRISPEECH.glob("*.flac"))
    conversations = [conversation(path.stem) for path in sorted(CONVERSATIONS.glob("*.flac"))]
    pieces = [pcm.cut(part) for pcm in conversations for part in parts(pcm.span, 2500)]
    if not every:
        paths, conversations = [*paths[:2], *paths[-1:]], conversations[:1]
    return [Waveform(samples=noise), *conversations, *pieces, *(decode(path, max_duration_s=60).pcm for path in paths)]


def lines(transcript: Transcript) -> list[Line]:
    return [(word.text, word.span.start_ms, word.span.end_ms) for word in transcript.words]


def expected_lines(
    model: Any, pcm: Waveform, request: TranscriptionSettings, batch_size: int, language: str | None
) -> list[list[Line]]:
    """What faster-whisper says of each clip, its times in the whole recording. language: where it is to be detected."""
    from faster_whisper import BatchedInferencePipeline

    samples = pcm.mono()
    longest_ms = round(request.clip_s * 1000)
    clips = clip_spans(samples, longest_ms)
    spoken = [cover(speech) for speech in speech_clips(samples, longest_ms)]
    asked: dict[str, Any] = {
        "language": None if request.language == "auto" else request.language,
        "temperature": request.temperatures,
        "hallucination_silence_threshold": request.hallucination_silence_s,
        "task": "translate" if request.translate else "transcribe",
        "condition_on_previous_text": False,
        "word_timestamps": True,
        **request.model_dump(
            exclude={
                "language",
                "languages",
                "temperatures",
                "hallucination_silence_s",
                "language_detection_threshold",
                "lost_speech_s",
                "window_padding_s",
                "max_repeats",
                "clip_s",
                "translate",
            }
        ),
    }
    parts = [samples[clip.start_ms * 16 : clip.end_ms * 16] for clip in clips]
    if parts and asked["language"] is None:
        asked["language"] = language
    answers = []
    for clip, part, speech in zip(clips, parts, spoken, strict=True):
        if batch_size == 1 or request.hallucination_silence_s is not None:
            segments = model.transcribe(part, **asked)[0]
        else:
            whole = [{"start": 0, "end": len(part) / SAMPLE_RATE}]
            if request.multilingual:  # which it decodes by, but aligns words by the language it was given
                asked |= {"language": model.detect_language(part)[0], "multilingual": False}
            segments = BatchedInferencePipeline(model).transcribe(part, clip_timestamps=whole, batch_size=1, **asked)[0]
        answers.append((speech, clip.start_s, list(segments)))
    return [
        [
            (text, *_placed(Span.from_seconds(offset_s + word.start, offset_s + word.end), speech, pcm))
            for segment in said
            for word in segment.words
            if (text := word.word.strip())
        ]
        for speech, offset_s, said in answers
    ]


def _placed(word: Span, speech: Span, pcm: Waveform) -> tuple[int, int]:
    """Where the engine has a word: no further than there is speech."""
    span = (word.clip(speech) if word.overlap_ms(speech) else word).clip(pcm.span)
    return span.start_ms, span.end_ms


def agreement(
    transcriber: WhisperTranscriber, model: Any, pcm: Waveform, request: TranscriptionSettings, batch_size: int
) -> list[bool]:
    """Whether each clip's words and times are those of faster-whisper."""
    found = heard(transcriber, pcm, request)
    ours = lines(found)
    same = []
    for theirs in expected_lines(model, pcm, request, batch_size, found.language):
        mine, ours = ours[: len(theirs)], ours[len(theirs) :]
        same.append(mine == theirs)
    assert not ours
    return same


@pytest.mark.parametrize("batch_size", [1, 2], ids=["one by one", "in batches"])
def test_every_clip_is_transcribed_as_by_faster_whisper(
    whisper: Path, reference: Any, cache: ModelCache, soak: bool, batch_size: int
) -> None:
    transcriber = engine(whisper, cache, batch_size=batch_size)
    request = PLAIN if soak else REQUESTS["greedy"]
    pcms = recordings(every=soak)
    same = [one for pcm in pcms for one in agreement(transcriber, reference, pcm, request, batch_size)]
    assert len(same) >= 15
    assert np.mean(same) >= 0.995


@pytest.mark.parametrize("batch_size", [1, 2], ids=["one by one", "in batches"])
@pytest.mark.parametrize("name", REQUESTS)
def test_every_setting_does_what_it_does_in_faster_whisper(
    whisper: Path, reference: Any, cache: ModelCache, name: str, batch_size: int
) -> None:
    transcriber = engine(whisper, cache, batch_size=batch_size)
    assert all(agreement(transcriber, reference, conversation("russian-two"), REQUESTS[name], batch_size))


def test_settings_change_the_transcript(whisper: Path, cache: ModelCache) -> None:
    """Otherwise the comparison of settings above shows nothing."""
    transcriber = engine(whisper, cache, batch_size=1)
    answers = {name: lines(heard(transcriber, conversation("russian-two"), REQUESTS[name])) for name in REQUESTS}
    assert len({tuple(answer) for answer in answers.values()}) >= 4


def test_fallback_decoding_is_that_of_faster_whisper(whisper: Path) -> None:
    import ctranslate2

    request = PLAIN.model_copy(update={"temperatures": (0.0, 0.4, 1.0), "log_prob_threshold": 0.0})
    pcm = phrase("english-two")
    with closing(ModelCache(CacheSettings())) as own:
        transcriber = engine(whisper, own, batch_size=1)
        mine = lines(heard(transcriber, pcm, request))
    ctranslate2.set_random_seed(0)
    (theirs,) = expected_lines(faster_whisper(whisper), pcm, request, 1, "en")
    assert mine == theirs


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES[Device.parse("cuda").kind])
def test_a_gpu_transcribes_as_faster_whisper_does(whisper: Path, cache: ModelCache, compute_type: ComputeType) -> None:
    import ctranslate2

    if not ctranslate2.get_cuda_device_count():
        pytest.skip("no GPU here")
    gpu = Device.parse("cuda")
    model = faster_whisper(whisper, gpu, compute_type)
    for batch_size in (1, 8):
        transcriber = engine(whisper, cache, device=gpu, compute_type=compute_type, batch_size=batch_size)
        same = [one for pcm in recordings(every=True) for one in agreement(transcriber, model, pcm, PLAIN, batch_size)]
        assert np.mean(same) >= 0.995


@pytest.mark.parametrize("batch_size", [1, 4], ids=["one by one", "in batches"])
def test_a_model_of_the_published_shape_transcribes_as_faster_whisper_does(
    tmp_path: Path, cache: ModelCache, soak: bool, batch_size: int
) -> None:
    if not soak:
        pytest.skip("takes minutes: --soak")
    from scripts import random_models
    from scripts.miniatures.whisper.shape import BASE

    random_models.whisper(tmp_path / "base", BASE, 1)
    model = faster_whisper(tmp_path / "base")
    transcriber = engine(tmp_path / "base", cache, batch_size=batch_size)
    request = PLAIN.model_copy(update={"language": "en", "beam_size": 2})
    pcms = recordings(every=False)
    same = [one for pcm in pcms for one in agreement(transcriber, model, pcm, request, batch_size)]
    assert np.mean(same) >= 0.995
