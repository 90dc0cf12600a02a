"""Whisper against faster-whisper itself, and what it does with odd models, sounds and failures."""

from __future__ import annotations

import gc
import json
import os
import pickle
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from shutil import copytree
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensory_pipeline.audio.decode import decode
from sensory_pipeline.audio.pcm import SAMPLE_RATE, Pcm
from sensory_pipeline.core.errors import ConfigurationError, EngineError, Terminal, UnsupportedLanguage
from sensory_pipeline.core.pauses import parts
from sensory_pipeline.core.requests import TranscriptionSettings
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.engines.base import TranscribeJob
from sensory_pipeline.engines.cache import CacheSettings, LoadedModel, ModelCache
from sensory_pipeline.engines.devices import COMPUTE_TYPES, CPU, ComputeType, Device
from sensory_pipeline.engines.stt.batch_size import BatchSizes
from sensory_pipeline.engines.stt.clips import speech_clips
from sensory_pipeline.engines.stt.hallucinations import without_loops
from sensory_pipeline.engines.stt.whisper import WhisperTranscriber
from sensory_pipeline.engines.stt.whisper_models import local, resolve

DATA = Path(__file__).parent / "data"
MINIATURE = DATA / "miniatures" / "whisper"
CONVERSATIONS = DATA / "miniatures" / "conversations"
SAMPLES = Path(__file__).parents[1] / "samples"
LIBRISPEECH = Path(__file__).parents[2] / "shared" / "audio" / "librispeech"

PLAIN = TranscriptionSettings(temperatures=(0.0,), max_repeats=None)
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
Line = tuple[str, int, int]
"""A word, and where it starts and ends in ms."""


@pytest.fixture(scope="module")
def miniature() -> Path:
    if not MINIATURE.is_dir():
        pytest.skip("the miniature Whisper is not there: scripts/train_miniatures.py makes it")
    return MINIATURE


@pytest.fixture(scope="module")
def cache() -> Iterator[ModelCache]:
    with closing(ModelCache(CacheSettings(max_models=None, ttl_s=None))) as cache:
        yield cache


@pytest.fixture(scope="module")
def reference(miniature: Path) -> Any:
    return faster_whisper(miniature)


def faster_whisper(folder: Path, device: Device = CPU, compute_type: ComputeType = ComputeType.INT8) -> Any:
    from faster_whisper import WhisperModel

    return WhisperModel(
        str(folder), device=str(device.kind), device_index=device.ordinal, compute_type=str(compute_type), cpu_threads=1
    )


def engine(model: Path | str, cache: ModelCache, **options: Any) -> WhisperTranscriber:
    options = {"device": CPU, "compute_type": ComputeType.INT8, "cpu_threads": 1, **options}
    return WhisperTranscriber(str(model), cache=cache, **options)


def answer(transcriber: WhisperTranscriber, pcm: Pcm, request: TranscriptionSettings = PLAIN) -> Transcript | Terminal:
    ((key, value),) = transcriber.transcribe([TranscribeJob(key="it", pcm=pcm, settings=request)])
    assert key == "it"
    return value


def heard(transcriber: WhisperTranscriber, pcm: Pcm, request: TranscriptionSettings = PLAIN) -> Transcript:
    value = answer(transcriber, pcm, request)
    assert isinstance(value, Transcript), value
    return value


def conversation(name: str) -> Pcm:
    return decode(CONVERSATIONS / f"{name}.flac", max_duration_s=60).pcm


def phrase(name: str) -> Pcm:
    """The first turn of a conversation: one clip."""
    return conversation(name).cut(Span(start_ms=2000, end_ms=6000))


def recordings(*, every: bool) -> list[Pcm]:
    """In two languages, by several synthesizers and people, whole and in pieces; one of noise. every: or a few."""
    noise = np.random.default_rng(1).normal(0, 300, (1, 3 * SAMPLE_RATE)).astype(np.int16)
    paths = [path for path in sorted(SAMPLES.glob("*.*")) if (SAMPLES / "truth" / f"{path.name}.json").exists()]
    paths += sorted(LIBRISPEECH.glob("*.flac"))
    conversations = [conversation(path.stem) for path in sorted(CONVERSATIONS.glob("*.flac"))]
    pieces = [pcm.cut(part) for pcm in conversations for part in parts(pcm.span, 2500)]
    if not every:
        paths, conversations = [*paths[:2], *paths[-1:]], conversations[:1]
    return [Pcm(samples=noise), *conversations, *pieces, *(decode(path, max_duration_s=60).pcm for path in paths)]


def lines(transcript: Transcript) -> list[Line]:
    return [(word.text, word.span.start_ms, word.span.end_ms) for word in transcript.words]


def expected_lines(
    model: Any, pcm: Pcm, request: TranscriptionSettings, batch_size: int, language: str | None
) -> list[list[Line]]:
    """What faster-whisper says of each clip, its times in the whole recording. language: where it is to be detected."""
    from faster_whisper import BatchedInferencePipeline

    samples = pcm.mono()
    clips = speech_clips(samples, round(request.clip_s * 1000))
    asked: dict[str, Any] = {
        "language": None if request.language == "auto" else request.language,
        "temperature": request.temperatures,
        "hallucination_silence_threshold": request.hallucination_silence_s,
        "task": "translate" if request.translate else "transcribe",
        "condition_on_previous_text": False,
        "word_timestamps": True,
        **request.model_dump(
            exclude={"language", "temperatures", "hallucination_silence_s", "max_repeats", "clip_s", "translate"}
        ),
    }
    parts = [samples[clip.start_ms * 16 : clip.end_ms * 16] for clip in clips]
    if parts and asked["language"] is None:
        asked["language"] = language
    answers = []
    for clip, part in zip(clips, parts, strict=True):
        if batch_size == 1 or request.hallucination_silence_s is not None:
            segments = model.transcribe(part, **asked)[0]
        else:
            whole = [{"start": 0, "end": len(part) / SAMPLE_RATE}]
            if request.multilingual:  # which it decodes by, but aligns words by the language it was given
                asked |= {"language": model.detect_language(part)[0], "multilingual": False}
            segments = BatchedInferencePipeline(model).transcribe(part, clip_timestamps=whole, batch_size=1, **asked)[0]
        answers.append((clip, clip.start_s, list(segments)))
    return [
        [
            (text, *(round(min(max(offset_s + time_s, 0), pcm.span.end_s) * 1000) for time_s in (word.start, word.end)))
            for segment in said
            for word in segment.words
            if (text := word.word.strip())
        ]
        for _, offset_s, said in answers
    ]


def agreement(
    transcriber: WhisperTranscriber, model: Any, pcm: Pcm, request: TranscriptionSettings, batch_size: int
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
def test_every_clip_is_heard_as_by_faster_whisper(
    miniature: Path, reference: Any, cache: ModelCache, soak: bool, batch_size: int
) -> None:
    transcriber = engine(miniature, cache, batch_size=batch_size)
    request = PLAIN if soak else REQUESTS["greedy"]
    pcms = recordings(every=soak)
    same = [one for pcm in pcms for one in agreement(transcriber, reference, pcm, request, batch_size)]
    assert len(same) >= 15
    assert np.mean(same) >= 0.995


@pytest.mark.parametrize("batch_size", [1, 2], ids=["one by one", "in batches"])
@pytest.mark.parametrize("name", REQUESTS)
def test_every_setting_does_what_it_does_in_faster_whisper(
    miniature: Path, reference: Any, cache: ModelCache, name: str, batch_size: int
) -> None:
    transcriber = engine(miniature, cache, batch_size=batch_size)
    assert all(agreement(transcriber, reference, conversation("russian-two"), REQUESTS[name], batch_size))


def test_settings_change_what_is_heard(miniature: Path, cache: ModelCache) -> None:
    """Otherwise the comparison of settings above shows nothing."""
    transcriber = engine(miniature, cache, batch_size=1)
    answers = {name: lines(heard(transcriber, conversation("russian-two"), REQUESTS[name])) for name in REQUESTS}
    assert len({tuple(answer) for answer in answers.values()}) >= 4


def test_what_is_doubtful_is_decoded_again_as_by_faster_whisper(miniature: Path) -> None:
    import ctranslate2

    request = PLAIN.model_copy(update={"temperatures": (0.0, 0.4, 1.0), "log_prob_threshold": 0.0})
    pcm = phrase("english-two")
    with closing(ModelCache(CacheSettings())) as own:
        transcriber = engine(miniature, own, batch_size=1)
        mine = lines(heard(transcriber, pcm, request))
    ctranslate2.set_random_seed(0)
    (theirs,) = expected_lines(faster_whisper(miniature), pcm, request, 1, "en")
    assert mine == theirs


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES[Device.parse("cuda").kind])
def test_a_gpu_hears_what_faster_whisper_hears_on_it(
    miniature: Path, cache: ModelCache, compute_type: ComputeType
) -> None:
    import ctranslate2

    if not ctranslate2.get_cuda_device_count():
        pytest.skip("no GPU here")
    gpu = Device.parse("cuda")
    model = faster_whisper(miniature, gpu, compute_type)
    for batch_size in (1, 8):
        transcriber = engine(miniature, cache, device=gpu, compute_type=compute_type, batch_size=batch_size)
        same = [one for pcm in recordings(every=True) for one in agreement(transcriber, model, pcm, PLAIN, batch_size)]
        assert np.mean(same) >= 0.995


@pytest.mark.parametrize("batch_size", [1, 4], ids=["one by one", "in batches"])
def test_a_model_of_the_published_shape_is_heard_as_by_faster_whisper(
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


def test_languages_are_told_apart(miniature: Path, cache: ModelCache) -> None:
    for batch_size in (None, 2):
        transcriber = engine(miniature, cache, batch_size=batch_size)
        found = {name: heard(transcriber, conversation(name)).language for name in ("english-two", "russian-two")}
        assert found == {"english-two": "en", "russian-two": "ru"}


def test_a_segment_knows_its_language_where_each_window_is_asked(miniature: Path, cache: ModelCache) -> None:
    both = [conversation(name).cut(Span(start_ms=0, end_ms=6000)).samples for name in ("english-two", "russian-two")]
    mixed = Pcm(samples=np.concatenate(both, axis=1))
    request = PLAIN.model_copy(update={"clip_s": 4.0, "multilingual": True})
    assert [s.language for s in heard(engine(miniature, cache), mixed, request).segments] == ["en", "ru"]
    alike = heard(engine(miniature, cache), mixed, request.model_copy(update={"multilingual": False}))
    assert {segment.language for segment in alike.segments} == {None}


def test_an_unknown_language_is_refused(miniature: Path, cache: ModelCache) -> None:
    for language in ("xx", "english"):
        with pytest.raises(UnsupportedLanguage, match=language):
            answer(engine(miniature, cache), conversation("english-two"), TranscriptionSettings(language=language))


def test_an_english_model_refuses_other_languages(miniature: Path, cache: ModelCache, tmp_path: Path) -> None:
    english = copytree(miniature, tmp_path / "english")
    vocabulary = json.loads((english / "vocabulary.json").read_text())
    # by the empty token CTranslate2 knows that a vocabulary is multilingual
    (english / "vocabulary.json").write_text(json.dumps([token or "nothing" for token in vocabulary]))
    transcriber = engine(english, cache)
    with pytest.raises(UnsupportedLanguage, match="only en"):
        answer(transcriber, conversation("russian-two"), TranscriptionSettings(language="ru"))
    assert heard(transcriber, conversation("english-two"), PLAIN).language in ("en", None)


def test_a_prompt_must_fit(miniature: Path, cache: ModelCache) -> None:
    request = TranscriptionSettings(initial_prompt="one " * 150, hotwords="two " * 100)
    with pytest.raises(ConfigurationError, match=r"are \d+ tokens long"):
        answer(engine(miniature, cache), conversation("english-two"), request)


@pytest.mark.parametrize("frames", [0, 160, 2 * SAMPLE_RATE])
def test_silence_says_nothing(miniature: Path, cache: ModelCache, frames: int) -> None:
    transcript = heard(engine(miniature, cache), Pcm(samples=np.zeros((1, frames), np.int16)))
    assert transcript == Transcript(language=None, segments=())


def test_channels_are_mixed(miniature: Path, cache: ModelCache) -> None:
    mono = conversation("english-two")
    stereo = Pcm(samples=np.vstack([mono.samples, mono.samples]))
    assert heard(engine(miniature, cache), stereo) == heard(engine(miniature, cache), mono)


def test_words_lie_in_order_inside_segments_and_recording(miniature: Path, cache: ModelCache) -> None:
    pcm = conversation("english-three")
    transcript = heard(engine(miniature, cache), pcm)
    assert transcript.words
    starts = [word.span.start_ms for word in transcript.words]
    assert starts == sorted(starts)
    for segment in transcript.segments:
        assert segment.span.clip(pcm.span) == segment.span
        assert segment.text.split() == [word.text for word in segment.words]
        assert all(word.span.clip(segment.span) == word.span for word in segment.words)
        assert all(0 <= word.probability <= 1 for word in segment.words)


# A model that is ours, in the cache where the engine looks for its own.


def with_model(folder: Path, transcribe: Callable[..., Any]) -> tuple[WhisperTranscriber, ModelCache]:
    """An engine that decodes one by one with `transcribe`; everything else is the miniature's."""
    standing_in = faster_whisper(folder)
    standing_in.transcribe = transcribe
    return with_standing_in(folder, standing_in, batch_size=1)


def with_standing_in(folder: Path, model: Any, **options: Any) -> tuple[WhisperTranscriber, ModelCache]:
    """An engine that finds this model where it looks for its own."""
    with closing(ModelCache(CacheSettings())) as first:
        heard(engine(folder, first), Pcm(samples=np.zeros((1, 0), np.int16)))
        (resident,) = first.stats().resident
    cache = ModelCache(CacheSettings(ttl_s=None))
    with cache.lease(resident.key, lambda: LoadedModel(model=model, size_bytes=1, unload=lambda: None)):
        return engine(folder, cache, **options), cache


ENGLISH = SimpleNamespace(language="en")


def said(*words: tuple[str, float, float]) -> SimpleNamespace:
    spoken = [SimpleNamespace(word=text, start=start, end=end, probability=0.5) for text, start, end in words]
    return SimpleNamespace(text="".join(text for text, _, _ in words), words=spoken)


def jobs(*pcms: Pcm, request: TranscriptionSettings = PLAIN) -> Iterator[TranscribeJob]:
    for index, pcm in enumerate(pcms):
        yield TranscribeJob(key=str(index), pcm=pcm, settings=request)


def test_an_error_concerns_its_recording_alone(miniature: Path) -> None:
    good, bad = phrase("english-two"), phrase("english-three")

    def transcribe(samples: npt.NDArray[np.float32], **_: Any) -> Any:
        (clip,) = speech_clips(bad.mono(), LONGEST_MS)
        if len(samples) == clip.duration_ms * 16:
            raise RuntimeError("No position encodings are defined for positions >= 448, but got position 448")
        return [said((" hello", 0, 0.5))], ENGLISH

    transcriber, cache = with_model(miniature, transcribe)
    with closing(cache):
        answers = dict(
            transcriber.transcribe(jobs(good, bad, good, request=PLAIN.model_copy(update={"language": "en"})))
        )
    assert isinstance(answers["1"], EngineError)
    assert "position 448" in str(answers["1"])
    assert answers["0"] == answers["2"]
    assert isinstance(answers["0"], Transcript)
    assert answers["0"].text == "hello"


@pytest.mark.parametrize(
    ("message", "raised", "told"),
    [
        ("CUDA failed with error out of memory", ConfigurationError, "smaller model"),
        ("cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED", ConfigurationError, "smaller model"),
        ("CUDA failed with error an illegal memory access was encountered", RuntimeError, "illegal"),
    ],
)
def test_a_fault_of_the_device_is_no_recordings_fault(
    miniature: Path, message: str, raised: type[Exception], told: str
) -> None:
    def transcribe(*_: Any, **__: Any) -> Any:
        raise RuntimeError(message)

    transcriber, cache = with_model(miniature, transcribe)
    with closing(cache), pytest.raises(raised, match=told):
        answer(transcriber, conversation("english-two"))


# Batches: whatever goes into one, each recording's answer is the one it has alone.


@pytest.fixture(scope="module")
def mixed(miniature: Path, cache: ModelCache) -> dict[str, tuple[TranscribeJob, Transcript | Terminal]]:
    """Recordings of all lengths, languages and requests, each with its answer alone."""
    requests = [
        PLAIN,
        PLAIN.model_copy(update={"clip_s": 4.0}),
        REQUESTS["Russian"],
        REQUESTS["prompted"],
        REQUESTS["greedy"],
    ]
    names = sorted(path.stem for path in CONVERSATIONS.glob("*.flac"))
    pcms = [
        conversation(names[0]),
        *(
            conversation(name).cut(Span(start_ms=2000, end_ms=2000 + length_ms))
            for name in names
            for length_ms in (2500, 6000)
        ),
    ]
    alone = {}
    for index, pcm in enumerate(pcms):
        job = TranscribeJob(key=f"{index}", pcm=pcm, settings=requests[index % len(requests)])
        ((_, value),) = engine(miniature, cache).transcribe([job])
        alone[job.key] = job, value
    assert len({value.language for _, value in alone.values() if isinstance(value, Transcript)} - {None}) >= 2
    return alone


@pytest.mark.parametrize("batch_size", [2, 8])
def test_recordings_do_not_change_each_other(
    miniature: Path, cache: ModelCache, mixed: dict[str, tuple[TranscribeJob, Transcript | Terminal]], batch_size: int
) -> None:
    transcriber = engine(miniature, cache, batch_size=batch_size)
    answers = dict(transcriber.transcribe(job for job, _ in mixed.values()))
    assert answers == {key: value for key, (_, value) in mixed.items()}


class ShortOfMemory:
    """A model of CTranslate2's on a device that holds three clips."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.sizes: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def generate(self, encoded: Any, prompts: list[list[int]], **options: Any) -> Any:
        self.sizes.append(len(prompts))
        if len(prompts) > 3:
            raise RuntimeError("CUDA failed with error out of memory")
        return self._model.generate(encoded, prompts, **options)


def test_a_batch_too_large_for_the_memory_is_halved_and_nothing_changes(
    miniature: Path, mixed: dict[str, tuple[TranscribeJob, Transcript | Terminal]], tmp_path: Path
) -> None:
    model = faster_whisper(miniature)
    model.model = ShortOfMemory(model.model)
    sizes = model.model.sizes
    remembered = BatchSizes(path=tmp_path / "sizes.json", place="here")
    remembered.keep(f"whisper {resolve(str(miniature)).name} {resolve(str(miniature)).revision} int8", 8)
    transcriber, cache = with_standing_in(miniature, model, sizes=remembered)
    with closing(cache):
        answers = dict(transcriber.transcribe(job for job, _ in mixed.values()))
        assert answers == {key: value for key, (_, value) in mixed.items()}
        sizes.clear()
        assert dict(transcriber.transcribe(job for job, _ in mixed.values())) == answers
    assert max(sizes) <= 4, "the size that fits is remembered"
    assert set(json.loads((tmp_path / "sizes.json").read_text()).values()) <= {2, 4}, "and by other processes too"


SHORT = REQUESTS["short clips"]
CHOKED = "No position encodings are defined for positions >= 448, but got position 448"


def clips_of(pcm: Pcm, request: TranscriptionSettings) -> tuple[Span, ...]:
    return speech_clips(pcm.mono(), round(request.clip_s * 1000))


def choking_on(folder: Path, *sounds: Pcm) -> Any:
    """The miniature, whose encoder fails on these clips, alone or not."""
    model = faster_whisper(folder)
    encode = model.encode
    bad = [model.feature_extractor(sound.mono())[..., :-1] for sound in sounds]

    def choking(window: npt.NDArray[np.float32]) -> Any:
        for mel in bad:
            if np.array_equal(window[:, : mel.shape[1]], mel) and not window[:, mel.shape[1] :].any():
                raise RuntimeError(CHOKED)
        return encode(window)

    model.encode = choking
    return model


def test_a_recording_of_which_no_clip_can_be_decoded_fails_alone(
    miniature: Path, mixed: dict[str, tuple[TranscribeJob, Transcript | Terminal]]
) -> None:
    culprit = mixed["3"][0]
    bad = [culprit.pcm.cut(span) for span in clips_of(culprit.pcm, culprit.settings)]
    transcriber, cache = with_standing_in(miniature, choking_on(miniature, *bad), batch_size=8)
    with closing(cache):
        answers = dict(transcriber.transcribe(job for job, _ in mixed.values()))
    failed = answers.pop("3")
    assert isinstance(failed, EngineError)
    assert "position 448" in str(failed)
    assert answers == {key: value for key, (_, value) in mixed.items() if key != "3"}


@pytest.mark.parametrize(("batch_size", "language"), [(1, "auto"), (2, "en"), (8, "auto")])
def test_a_clip_that_cannot_be_decoded_is_a_gap_among_the_others(
    miniature: Path, cache: ModelCache, batch_size: int, language: str
) -> None:
    pcm, request = conversation("english-two"), SHORT.model_copy(update={"language": language})
    whole = heard(engine(miniature, cache, batch_size=batch_size), pcm, request)
    spans = clips_of(pcm, request)
    assert len(spans) >= 3
    for gap in (spans[0], spans[-1]):
        transcriber, own = with_standing_in(miniature, choking_on(miniature, pcm.cut(gap)), batch_size=batch_size)
        with closing(own):
            found = heard(transcriber, pcm, request)
        assert found.gaps == (gap,)
        assert found.language == whole.language
        left = [segment for segment in whole.segments if not segment.span.overlap_ms(gap)]
        assert 0 < len(left) < len(whole.segments)
        assert list(found.segments) == left


def test_a_clip_that_a_batch_cannot_decode_is_tried_alone(miniature: Path) -> None:
    pcm = conversation("english-two")
    spans = clips_of(pcm, SHORT)
    model = choking_on(miniature, pcm.cut(spans[0]))
    model.transcribe = lambda *_, **__: ([said((" alone", 0, 0.5))], ENGLISH)
    transcriber, cache = with_standing_in(miniature, model, batch_size=8)
    with closing(cache):
        found = heard(transcriber, pcm, SHORT.model_copy(update={"language": "en"}))
    assert found.gaps == ()
    assert found.words[0].text == "alone"
    assert [word.text for word in found.words].count("alone") == 1


def test_what_was_doubted_is_kept_where_it_cannot_be_heard_again(miniature: Path) -> None:
    def transcribe(*_: Any, **__: Any) -> Any:
        raise RuntimeError(CHOKED)

    sure = TranscriptionSettings(language="en", log_prob_threshold=None, compression_ratio_threshold=None)
    model = faster_whisper(miniature)
    model.transcribe = transcribe
    transcriber, cache = with_standing_in(miniature, model, batch_size=4)
    with closing(cache):
        expected = heard(transcriber, phrase("english-two"), sure)
        found = heard(transcriber, phrase("english-two"), sure.model_copy(update={"log_prob_threshold": 0.0}))
    assert found == expected
    assert found.words


def test_a_recording_in_which_no_speech_can_be_looked_for_fails_alone(miniature: Path, cache: ModelCache) -> None:
    class Broken(Pcm):
        def mono(self) -> Any:
            raise ValueError("no channel")

    good, bad = phrase("english-two"), Broken(samples=np.zeros((1, 16), np.int16))
    answers = dict(engine(miniature, cache).transcribe(jobs(good, bad, good)))
    assert isinstance(answers["1"], EngineError)
    assert "no channel" in str(answers["1"])
    assert isinstance(answers["0"], Transcript)
    assert answers["0"] == answers["2"]


def test_a_clip_without_features_costs_no_other(miniature: Path) -> None:
    good, bad = phrase("english-two"), phrase("english-three")
    (clip,) = speech_clips(bad.mono(), LONGEST_MS)
    model = faster_whisper(miniature)
    extractor = model.feature_extractor

    class Failing:
        def __getattr__(self, name: str) -> Any:
            return getattr(extractor, name)

        def __call__(self, samples: npt.NDArray[np.float32], **options: Any) -> Any:
            if len(samples) == clip.duration_ms * 16:
                raise ValueError("no spectrogram")
            return extractor(samples, **options)

    model.feature_extractor = Failing()
    transcriber, cache = with_standing_in(miniature, model)
    request = PLAIN.model_copy(update={"language": "en"})
    with closing(cache):
        answers = dict(transcriber.transcribe(jobs(good, bad, good, request=request)))
    assert isinstance(answers["0"], Transcript)
    assert answers["0"] == answers["2"]
    assert isinstance(answers["1"], EngineError)


def test_what_a_batch_doubts_is_decoded_again_alone(miniature: Path) -> None:
    again: list[Any] = []

    def transcribe(_: Any, **options: Any) -> Any:
        again.append(options["temperature"])
        return [said((" again", 0, 0.5))], ENGLISH

    model = faster_whisper(miniature)
    model.transcribe = transcribe
    transcriber, cache = with_standing_in(miniature, model, batch_size=4)
    sure = TranscriptionSettings(language="en", log_prob_threshold=None, compression_ratio_threshold=None)
    unsure = sure.model_copy(update={"log_prob_threshold": 0.0})
    asked = [TranscribeJob(key=f"{i}", pcm=phrase("english-two"), settings=s) for i, s in enumerate((sure, unsure))]
    with closing(cache):
        answers = dict(transcriber.transcribe(asked))
    assert [value.text for value in answers.values() if isinstance(value, Transcript)].count("again") == 1
    assert isinstance(answers["1"], Transcript)
    assert answers["1"].text == "again"
    assert again == [[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]]


times = st.floats(-1, 40, allow_nan=False)
words = st.lists(st.tuples(st.sampled_from([" one", " two", ",", " ", " 三", "四"]), times, times), max_size=8)


def test_times_that_make_no_sense_are_mended(miniature: Path) -> None:
    pcm = phrase("english-two")
    segments: list[Any] = []
    transcriber, cache = with_model(miniature, lambda *_, **__: (segments, ENGLISH))

    @settings(max_examples=60, deadline=None)
    @given(st.lists(words, max_size=4))
    def check(found: list[list[tuple[str, float, float]]]) -> None:
        segments[:] = [said(*segment) for segment in found]
        transcript = heard(transcriber, pcm, PLAIN.model_copy(update={"language": "en"}))
        texts = [text.strip() for segment in found for text, _, _ in segment if text.strip()]
        assert [word.text for word in transcript.words] == texts
        starts = [word.span.start_ms for word in transcript.words]
        assert starts == sorted(starts)
        for segment in transcript.segments:
            assert segment.words
            for word in segment.words:
                assert word.span.clip(segment.span) == word.span == word.span.clip(pcm.span)
        assert transcript.language == ("en" if texts else None)

    with closing(cache):
        check()


def test_thresholds_reach_the_decoder(miniature: Path) -> None:
    asked: dict[str, Any] = {}

    def transcribe(_: Any, **options: Any) -> Any:
        asked.update(options)
        return [], ENGLISH

    transcriber, cache = with_model(miniature, transcribe)
    request = TranscriptionSettings(
        temperatures=(0.0, 0.3), no_speech_threshold=0.1, log_prob_threshold=-0.2, compression_ratio_threshold=None
    )
    with closing(cache):
        heard(transcriber, conversation("english-two"), request)
    assert asked["temperature"] == [0.0, 0.3]
    assert asked["no_speech_threshold"] == 0.1
    assert asked["log_prob_threshold"] == -0.2
    assert asked["compression_ratio_threshold"] is None


def test_a_loop_is_kept_once(miniature: Path) -> None:
    stuck = [
        said((" Right.", 0, 0.5), *((" Thank", 1, 1), (" you.", 1, 1)) * 20),
        said((" Thank", 2, 2), (" you.", 2, 2)),
    ]
    transcriber, cache = with_model(miniature, lambda *_, **__: (stuck, ENGLISH))
    with closing(cache):
        once = heard(transcriber, phrase("english-two"), TranscriptionSettings(language="en"))
        as_it_was = heard(transcriber, phrase("english-two"), TranscriptionSettings(language="en", max_repeats=None))
    assert [segment.text for segment in once.segments] == ["Right. Thank you."]
    assert len(as_it_was.words) == 43


@settings(max_examples=100, deadline=None)
@given(
    before=st.lists(st.sampled_from("abc"), max_size=4),
    phrase=st.lists(st.sampled_from("xyz"), min_size=1, max_size=4, unique=True),
    rounds=st.integers(1, 12),
    after=st.lists(st.sampled_from("abc"), max_size=4),
)
def test_only_what_is_repeated_too_often_goes(
    before: list[str], phrase: list[str], rounds: int, after: list[str]
) -> None:
    text = [*before, *phrase * rounds, *after]
    kept = [text[index] for index in without_loops(text, max_repeats=5)]
    assert kept == ([*before, *phrase, *after] if rounds > 5 else text)


def test_a_recording_is_forgotten_once_answered(miniature: Path, cache: ModelCache) -> None:
    answered: list[weakref.ref[Pcm]] = []

    def stream() -> Iterator[TranscribeJob]:
        for index in range(3):
            pcm = Pcm(samples=conversation("english-two").samples[:, : 3 * SAMPLE_RATE])
            answered.append(weakref.ref(pcm.samples))  # type: ignore[arg-type]
            yield TranscribeJob(key=str(index), pcm=pcm, settings=PLAIN)
            del pcm

    for index, _ in enumerate(engine(miniature, cache, batch_size=1).transcribe(stream())):
        gc.collect()
        assert all(pcm() is None for pcm in answered[:index])
    assert not any(model.leases for model in cache.stats().resident)


# Where to listen.


def test_clips_hold_all_speech_and_fit_a_window() -> None:
    pcm = decode(SAMPLES / "doctor_appointment.wav", max_duration_s=60).pcm
    pause = np.zeros(3 * SAMPLE_RATE, np.float32)
    samples = np.concatenate([pause, pcm.mono(), pause, pcm.mono(), pcm.mono()])
    clips = speech_clips(samples, LONGEST_MS)
    assert len(clips) >= 3
    assert all(0 < clip.duration_ms <= LONGEST_MS for clip in clips)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(clips))
    assert clips[0].start_ms > 2500
    assert clips[-1].end_ms <= len(samples) // 16
    gaps = [before.gap_ms(after) for before, after in pairwise(clips)]
    assert max(gaps) > 2000


def test_speech_without_a_pause_is_cut_too() -> None:
    pcm = decode(SAMPLES / "doctor_appointment.wav", max_duration_s=60).pcm
    (first, *_) = [clip for clip in speech_clips(pcm.mono(), LONGEST_MS) if clip.duration_ms > 2000]
    hum = np.tile(pcm.mono()[first.start_ms * 16 + 8000 : first.start_ms * 16 + 24_000], 75)
    clips = speech_clips(hum, LONGEST_MS)
    assert len(clips) >= 3
    assert all(clip.duration_ms <= LONGEST_MS for clip in clips)
    assert sum(clip.duration_ms for clip in clips) > 70_000


# Models: where they are, and where they are not.


def test_to_know_a_model_is_not_to_load_it(miniature: Path, tmp_path: Path) -> None:
    with closing(ModelCache(CacheSettings())) as cache:
        info = engine(miniature, cache).info
        sequential = engine(miniature, cache, batch_size=1).info
        assert not cache.stats().loads
    assert (info.engine, info.model) == ("whisper", miniature.name)
    assert sequential != info
    copy = copytree(miniature, tmp_path / "whisper")
    (copy / "README.md").write_text("what it is does not matter to its answers")
    assert resolve(str(copy)).revision == info.revision
    weights = bytearray((copy / "model.bin").read_bytes())
    weights[-1] ^= 1
    (copy / "model.bin").write_bytes(weights)
    assert resolve(str(copy)).revision != info.revision


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def test_a_pickle_is_not_run(miniature: Path, cache: ModelCache, tmp_path: Path) -> None:
    folder = copytree(miniature, tmp_path / "model")
    mark = tmp_path / "exploded"
    for name in ("model.bin", "pytorch_model.bin", "tokenizer.pkl"):
        (folder / name).write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(ConfigurationError, match=r"cannot load the Whisper model .* trust"):
        answer(engine(folder, cache), conversation("english-two"))
    assert not mark.exists()
    pickle.loads((folder / "model.bin").read_bytes())
    assert mark.exists()  # so it would have


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.bin", b""),
        ("model.bin", b"\x06\x00\x00\x00\xff\xff"),
        ("config.json", b"{"),
        ("tokenizer.json", b'{"model":'),
        ("vocabulary.json", b"{}"),
    ],
)
def test_a_damaged_model_is_an_error_that_names_it(
    miniature: Path, cache: ModelCache, tmp_path: Path, name: str, content: bytes
) -> None:
    folder = copytree(miniature, tmp_path / "model")
    (folder / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=str(folder)):
        answer(engine(folder, cache), conversation("english-two"))


def test_a_folder_without_weights_is_an_error_that_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ConfigurationError, match=r"no model\.bin, tokenizer\.json.*ct2-transformers-converter"):
        resolve(str(tmp_path))


@pytest.mark.parametrize("name", ["smal", "./models/none", "/nowhere/at/all"])
def test_an_unknown_name_is_an_error_that_says_which_there_are(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"large-v3-turbo"):
        resolve(name)


HUB = """
import sys
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.stt.whisper_models import resolve
for name in sys.argv[1:]:
    try:
        found = resolve(name)
        print(found.name, found.revision)
    except ConfigurationError as error:
        print(error)
"""


@pytest.mark.parametrize("variable", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_the_hub_is_asked_for_what_is_not_here(miniature: Path, tmp_path: Path, variable: dict[str, str]) -> None:
    """In a process of its own, since the hub's client reads the environment once."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--Systran--faster-whisper-small"
    copytree(miniature, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    environment = {**os.environ, "HF_HOME": str(tmp_path), **variable}  # noqa: TID251
    asked = ("small", "Systran/faster-whisper-small", "medium")
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HUB), *asked],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    small, same, missing = result.stdout.splitlines()
    assert small == same == "Systran/faster-whisper-small 0123456789ab"
    assert "sensory models fetch whisper:medium" in missing
    assert "WHISPER_MODEL_SIZE=/path/to/folder" in missing


def test_what_is_not_here_is_not_local() -> None:
    assert local("nobody/has-this-model") is None
