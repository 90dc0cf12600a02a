"""Segments are phrases that can be read at a glance, and text is what the transcriber wrote."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.core.phrases import LIMIT_MS, phrases
from sensory_pipeline.core.process_request import TranscriptionSettings
from sensory_pipeline.core.punctuation import join
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.core.transcripts import Segment, Transcript, Word
from sensory_pipeline.engines.base import TranscribeJob
from sensory_pipeline.engines.cache import ModelCache
from sensory_pipeline.engines.devices import CPU, ComputeType
from sensory_pipeline.engines.stt.whisper import WhisperTranscriber
from sensory_pipeline_tests import places
from sensory_pipeline_tests.published_models import published

FAULTS = places.SHARED / "audio" / "faults"


def segment(*words: tuple[str, int, int]) -> Segment:
    spoken = tuple(
        Word(text=text, span=Span(start_ms=start, end_ms=end), probability=1, space_before=True)
        for text, start, end in words
    )
    return Segment(span=cover(word.span for word in spoken), text=join(spoken), words=spoken, language="en")


def test_sentences_and_silences_end_phrases() -> None:
    found = phrases(segment(("It", 0, 200), ("is.", 300, 500), ("So", 600, 800), ("what?", 2000, 2400)))
    assert [(one.text, one.span.start_ms, one.span.end_ms) for one in found] == [
        ("It is.", 0, 500), ("So", 600, 800), ("what?", 2000, 2400),
    ]  # fmt: skip


def test_a_short_phrase_is_unchanged() -> None:
    one = segment(("Hello", 0, 400), ("there", 500, 900))
    assert list(phrases(one)) == [one]


@settings(deadline=None, max_examples=100)
@given(lengths=st.lists(st.tuples(st.integers(50, 2500), st.integers(0, 900)), min_size=1, max_size=60))
def test_every_word_is_in_one_phrase_of_a_few_seconds(lengths: list[tuple[int, int]]) -> None:
    words = []
    at = 0
    for index, (long, pause) in enumerate(lengths):
        words.append((f"word{index}", at, at + long))
        at += long + pause
    whole = segment(*words)
    found = list(phrases(whole))
    assert tuple(word for one in found for word in one.words) == whole.words
    assert all(one.span.duration_ms <= LIMIT_MS + 2500 for one in found)
    assert {one.language for one in found} == {"en"}


@pytest.mark.parametrize(
    ("file", "parts"),
    [("numbers_en.wav", ("well-known", "$3.5 million", "10%")), ("elision_fr.wav", ("d'avoir",))],
)
def test_text_is_as_whisper_writes_it(file: str, parts: tuple[str, ...], cache: ModelCache) -> None:
    if not (FAULTS / file).is_file():
        pytest.skip(f"{file} is not there")
    published("whisper-base")
    whisper = WhisperTranscriber("base", device=CPU, compute_type=ComputeType.INT8, cache=cache, cpu_threads=2)
    pcm = decode(FAULTS / file, max_duration_s=60).pcm
    ((_, heard),) = whisper.transcribe([TranscribeJob(key="a", pcm=pcm, settings=TranscriptionSettings())])
    assert isinstance(heard, Transcript)
    words = join(heard.words)
    assert words == heard.text
    for part in parts:
        assert part in words, words
    assert not [word.text for word in heard.words if word.text[:1] in "-.%'"]
