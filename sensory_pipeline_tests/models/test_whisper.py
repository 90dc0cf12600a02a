"""Whisper: what it makes of settings, sounds, and what its decoder says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.recordings import recordings
from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.core.errors import PromptTooLong, UnsupportedLanguage
from sensory_pipeline.core.process_request import TranscriptionSettings
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.core.untranscribed import untranscribed
from sensory_pipeline.engines.base import TranscribeJob
from sensory_pipeline.engines.cache import ModelCache
from sensory_pipeline.engines.stt.clip_boundaries import halves, speech_clips, with_margins, without_padding
from sensory_pipeline.engines.stt.repetitions import without_loops
from sensory_pipeline_tests.miniature_whisper import (
    ENGLISH,
    LONGEST_MS,
    PLAIN,
    SAMPLES,
    answer,
    clip_spans,
    conversation,
    engine,
    heard,
    phrase,
    said,
    with_model,
)


def test_languages_are_detected(whisper: Path, cache: ModelCache) -> None:
    for batch_size in (None, 2):
        transcriber = engine(whisper, cache, batch_size=batch_size)
        found = {name: heard(transcriber, conversation(name)).language for name in ("english-two", "russian-two")}
        assert found == {"english-two": "en", "russian-two": "ru"}


def test_a_segment_has_a_language_if_it_is_detected_by_window(whisper: Path, cache: ModelCache) -> None:
    both = [conversation(name).cut(Span(start_ms=0, end_ms=6000)).samples for name in ("english-two", "russian-two")]
    mixed = Waveform(samples=np.concatenate(both, axis=1))
    request = PLAIN.model_copy(update={"clip_s": 4.0, "multilingual": True})
    assert [s.language for s in heard(engine(whisper, cache), mixed, request).segments] == ["en", "ru"]
    alike = heard(engine(whisper, cache), mixed, request.model_copy(update={"multilingual": False}))
    assert {segment.language for segment in alike.segments} == {None}


def test_an_unknown_language_is_refused(whisper: Path, cache: ModelCache) -> None:
    for asked in (TranscriptionSettings(language="yue"), TranscriptionSettings(languages=("en", "yue"))):
        with pytest.raises(UnsupportedLanguage, match="does not know the language 'yue'"):
            answer(engine(whisper, cache), conversation("english-two"), asked)


def test_an_english_model_refuses_other_languages(whisper: Path, cache: ModelCache, tmp_path: Path) -> None:
    english = copytree(whisper, tmp_path / "english")
    vocabulary = json.loads((english / "vocabulary.json").read_text())
    # by the empty token CTranslate2 knows that a vocabulary is multilingual
    (english / "vocabulary.json").write_text(json.dumps([token or "nothing" for token in vocabulary]))
    transcriber = engine(english, cache)
    with pytest.raises(UnsupportedLanguage, match="only en"):
        answer(transcriber, conversation("russian-two"), TranscriptionSettings(language="ru"))
    assert heard(transcriber, conversation("english-two"), PLAIN).language in ("en", None)


@pytest.mark.parametrize("batch_size", [None, 1])
def test_a_prompt_that_does_not_fit_is_refused_and_other_jobs_are_done(
    whisper: Path, cache: ModelCache, batch_size: int | None
) -> None:
    too_long = PLAIN.model_copy(update={"initial_prompt": "one " * 150, "hotwords": "two " * 100})
    asked = {"first": PLAIN, "refused": too_long, "last": PLAIN}
    transcriber = engine(whisper, cache, batch_size=batch_size)
    sound = phrase("english-two")
    jobs = [TranscribeJob(key=key, pcm=sound, settings=settings) for key, settings in asked.items()]
    found = dict(transcriber.transcribe(jobs))
    refused = found.pop("refused")
    assert isinstance(refused, PromptTooLong)
    assert re.fullmatch(r"hotwords and initial prompt are \d+ tokens long, and Whisper takes 223: .*", str(refused))
    assert found == {"first": heard(transcriber, sound), "last": heard(transcriber, sound)}
    assert isinstance(answer(transcriber, sound, too_long), PromptTooLong)  # also where there is no other


@pytest.mark.parametrize("frames", [0, 160, 2 * SAMPLE_RATE])
def test_silence_has_no_words(whisper: Path, cache: ModelCache, frames: int) -> None:
    transcript = heard(engine(whisper, cache), Waveform(samples=np.zeros((1, frames), np.int16)))
    assert transcript == Transcript(language=None, segments=())


def test_channels_are_mixed(whisper: Path, cache: ModelCache) -> None:
    mono = conversation("english-two")
    stereo = Waveform(samples=np.vstack([mono.samples, mono.samples]))
    assert heard(engine(whisper, cache), stereo) == heard(engine(whisper, cache), mono)


def test_words_are_in_order_inside_segments_and_recording(whisper: Path, cache: ModelCache) -> None:
    pcm = conversation("english-three")
    transcript = heard(engine(whisper, cache), pcm)
    assert transcript.words
    starts = [word.span.start_ms for word in transcript.words]
    assert starts == sorted(starts)
    for segment in transcript.segments:
        assert segment.span.clip(pcm.span) == segment.span
        assert segment.text.split() == [word.text for word in segment.words]
        assert all(word.span.clip(segment.span) == word.span for word in segment.words)
        assert all(0 <= word.probability <= 1 for word in segment.words)


times = st.floats(-1, 40, allow_nan=False)
words = st.lists(st.tuples(st.sampled_from([" one", " two", ",", " ", " 三", "四"]), times, times), max_size=8)


def test_impossible_times_are_corrected(whisper: Path) -> None:
    pcm = phrase("english-two")
    segments: list[Any] = []
    transcriber, cache = with_model(whisper, lambda *_, **__: (segments, ENGLISH))

    @settings(max_examples=60, deadline=None)
    @given(st.lists(words, max_size=4))
    def check(found: list[list[tuple[str, float, float]]]) -> None:
        segments[:] = [said(*segment) for segment in found]
        transcript = heard(transcriber, pcm, PLAIN.model_copy(update={"language": "en"}))
        texts = [text.strip() for segment in found for text, _, _ in segment if text.strip()]
        assert "".join(word.text for word in transcript.words) == "".join(texts)
        starts = [word.span.start_ms for word in transcript.words]
        assert starts == sorted(starts)
        for segment in transcript.segments:
            assert segment.words
            for word in segment.words:
                assert word.span.clip(segment.span) == word.span == word.span.clip(pcm.span)
        assert transcript.language == ("en" if texts else None)

    with closing(cache):
        check()


def test_thresholds_reach_the_decoder(whisper: Path) -> None:
    asked: dict[str, Any] = {}

    def transcribe(_: Any, **options: Any) -> Any:
        asked.update(options)
        return [], ENGLISH

    transcriber, cache = with_model(whisper, transcribe)
    request = TranscriptionSettings(
        temperatures=(0.0, 0.3), no_speech_threshold=0.1, log_prob_threshold=-0.2, compression_ratio_threshold=None
    )
    with closing(cache):
        heard(transcriber, conversation("english-two"), request)
    assert asked["temperature"] == [0.0, 0.3]
    assert asked["no_speech_threshold"] == 0.1
    assert asked["log_prob_threshold"] == -0.2
    assert asked["compression_ratio_threshold"] is None


def test_a_loop_is_kept_once(whisper: Path) -> None:
    stuck = [
        said((" Right.", 0, 0.5), *((" Thank", 1, 1), (" you.", 1, 1)) * 20),
        said((" Thank", 2, 2), (" you.", 2, 2)),
    ]
    transcriber, cache = with_model(whisper, lambda *_, **__: (stuck, ENGLISH))
    with closing(cache):
        once = heard(transcriber, phrase("english-two"), TranscriptionSettings(language="en"))
        as_it_was = heard(transcriber, phrase("english-two"), TranscriptionSettings(language="en", max_repeats=None))
    assert [segment.text for segment in once.segments] == ["Right.", "Thank you."]
    assert len(as_it_was.words) == 43


@settings(max_examples=100, deadline=None)
@given(
    before=st.lists(st.sampled_from("abc"), max_size=4),
    phrase=st.lists(st.sampled_from("xyz"), min_size=1, max_size=4, unique=True),
    rounds=st.integers(1, 12),
    after=st.lists(st.sampled_from("abc"), max_size=4),
)
def test_only_text_that_is_repeated_too_often_is_removed(
    before: list[str], phrase: list[str], rounds: int, after: list[str]
) -> None:
    text = [*before, *phrase * rounds, *after]
    kept = [text[index] for index in without_loops(text, max_repeats=5)]
    assert kept == ([*before, *phrase, *after] if rounds > 5 else text)


def test_clips_hold_all_speech_and_fit_a_window() -> None:
    pcm = decode(SAMPLES / "doctor_appointment.wav", max_duration_s=60).pcm
    pause = np.zeros(3 * SAMPLE_RATE, np.float32)
    samples = np.concatenate([pause, pcm.mono(), pause, pcm.mono(), pcm.mono()])
    clips = clip_spans(samples, LONGEST_MS)
    assert len(clips) >= 3
    assert all(0 < clip.duration_ms <= LONGEST_MS for clip in clips)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(clips))
    assert clips[0].start_ms > 2500
    assert clips[-1].end_ms <= len(samples) // 16
    gaps = [before.gap_ms(after) for before, after in pairwise(clips)]
    assert max(gaps) > 2000


def test_clips_are_as_few_as_possible() -> None:
    (_, pcm, *_) = recordings(2, 90, total_s=80)
    assert 60_000 < pcm.duration_ms < 90_000
    assert len(clip_spans(pcm.mono(), LONGEST_MS)) == 3


def test_speech_without_a_pause_is_cut_too() -> None:
    pcm = decode(SAMPLES / "doctor_appointment.wav", max_duration_s=60).pcm
    (first, *_) = [clip for clip in clip_spans(pcm.mono(), LONGEST_MS) if clip.duration_ms > 2000]
    hum = np.tile(pcm.mono()[first.start_ms * 16 + 8000 : first.start_ms * 16 + 24_000], 75)
    clips = clip_spans(hum, LONGEST_MS)
    assert len(clips) >= 3
    assert all(clip.duration_ms <= LONGEST_MS for clip in clips)
    assert sum(clip.duration_ms for clip in clips) > 70_000


@pytest.mark.parametrize("batch_size", [4, 1])
def test_skipped_speech_is_decoded_in_halves(whisper: Path, cache: ModelCache, batch_size: int) -> None:
    """The miniature knows clips of some seconds, and loses its way in one of twenty."""
    transcriber = engine(whisper, cache, batch_size=batch_size)
    pcm = conversation("russian-two")
    once, again = (
        heard(transcriber, pcm, TranscriptionSettings(language="ru", temperatures=(0.0,), lost_speech_s=seconds))
        for seconds in (None, 1)
    )
    spoken = speech_clips(pcm.mono(), LONGEST_MS)
    lost = [sum(span.duration_ms for clip in spoken for span in _lost(clip, found)) for found in (once, again)]
    assert len(spoken) < len(again.segments)
    assert lost[1] < lost[0] / 4


def _lost(clip: tuple[Span, ...], transcript: Transcript) -> Iterator[Span]:
    return untranscribed(without_padding(clip), [(word.text, word.span) for word in transcript.words])


def test_a_clip_is_halved_while_speech_is_skipped(whisper: Path) -> None:
    lengths: list[float] = []

    def transcribe(samples: Any, **_: Any) -> Any:
        lengths.append(len(samples) / SAMPLE_RATE)
        return [said((" word", 0.2, 0.5))], ENGLISH

    transcriber, cache = with_model(whisper, transcribe)
    with closing(cache):
        transcript = heard(transcriber, conversation("english-two"), TranscriptionSettings(language="en"))
    whole = lengths[0]
    assert whole > 15
    assert sum(length < 5 for length in lengths) >= 2
    assert len(transcript.words) == len(transcript.segments) > len(lengths) / 2  # each cut makes two of one
    assert [word.span for word in transcript.words] == sorted(word.span for word in transcript.words)


def test_the_half_without_skipped_speech_keeps_its_words(whisper: Path) -> None:
    pcm = conversation("english-two")
    clips = speech_clips(pcm.mono(), LONGEST_MS)
    whole = with_margins(clips, pcm.span, LONGEST_MS)[0]
    first, second = (cover(half) for half in halves(clips[0]))
    starts_ms = range(first.start_ms, first.end_ms, 300)
    asked_ms: list[int] = []

    def transcribe(samples: Any, **_: Any) -> Any:
        asked_ms.append(len(samples) * 1000 // SAMPLE_RATE)
        if len(asked_ms) > 1:
            return [said((" again", 0.2, 0.5))], ENGLISH
        at = [(start_ms - whole.start_ms) / 1000 for start_ms in starts_ms]
        return [said(*((f" {1000 * start:.0f}", start, start + 0.2) for start in at))], ENGLISH

    transcriber, cache = with_model(whisper, transcribe)
    with closing(cache):
        transcript = heard(transcriber, pcm, TranscriptionSettings(language="en"))
    assert [word.span.start_ms for word in transcript.words if word.text != "again"] == list(starts_ms)
    assert asked_ms[1] < second.duration_ms + 2_000


@pytest.mark.parametrize("probability", [0.8, 0.3])
def test_skipped_speech_of_a_short_clip_is_decoded_alone_and_kept_if_probable(
    whisper: Path, probability: float
) -> None:
    """There is one stretch of speech of 3 s, and of that the transcriber hears a word at first."""
    pcm = conversation("english-two").cut(Span(start_ms=19_800, end_ms=23_800))
    asked: list[float] = []

    def transcribe(samples: Any, **_: Any) -> Any:
        asked.append(len(samples) / SAMPLE_RATE)
        first = said((" first", 0.2, 0.5), probability=0.9)
        return [first if len(asked) == 1 else said((" then", 0, 0.4), probability=probability)], ENGLISH

    transcriber, cache = with_model(whisper, transcribe)
    with closing(cache):
        transcript = heard(transcriber, pcm, TranscriptionSettings(language="en"))
    assert len(asked) == 2
    assert transcript.text == ("first then" if probability > 0.5 else "first")
    (gap,) = transcript.gaps  # and of what was skipped the rest
    assert gap.duration_ms >= 1000
    assert not any(gap.overlap_ms(word.span) for word in transcript.words)


def test_a_clip_without_words_is_not_decoded_again(whisper: Path) -> None:
    asked = 0

    def transcribe(*_: Any, **__: Any) -> Any:
        nonlocal asked
        asked += 1
        return [], ENGLISH

    transcriber, cache = with_model(whisper, transcribe)
    with closing(cache):
        heard(transcriber, conversation("english-two"), TranscriptionSettings(language="en"))
    assert asked == len(speech_clips(conversation("english-two").mono(), LONGEST_MS))


def test_halves_are_cut_at_the_longest_pause_near_the_middle() -> None:
    def spans(*edges: int) -> tuple[Span, ...]:
        return tuple(Span(start_ms=start, end_ms=end) for start, end in zip(edges[::2], edges[1::2], strict=True))

    speech = spans(0, 1000, 3000, 5000, 5500, 9000)
    assert halves(speech) == [speech[:2], speech[2:]]
    assert halves(spans(0, 3000, 6000, 9000)) == [spans(0, 3000), spans(6000, 9000)]
    assert halves(spans(0, 9000)) == []
    assert halves(spans(0, 1000, 3000, 4000)) == []
