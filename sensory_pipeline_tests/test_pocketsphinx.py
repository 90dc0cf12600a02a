"""PocketSphinx: what was said, when, and how the speech is put before the decoder."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from sensory_pipeline.audio.decode import decode
from sensory_pipeline.audio.pcm import Pcm
from sensory_pipeline.core.requests import TranscriptionSettings
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.engines.base import TranscribeJob
from sensory_pipeline.engines.stt.pocketsphinx import PocketSphinxTranscriber, utterances

SAMPLES = Path(__file__).parent.parent / "samples"
LIMIT_MS = 20_000


@pytest.fixture(scope="module")
def engine() -> PocketSphinxTranscriber:
    return PocketSphinxTranscriber()


def transcript(engine: PocketSphinxTranscriber, pcm: Pcm) -> Transcript:
    ((_, found),) = engine.transcribe([TranscribeJob(key="a", pcm=pcm, settings=TranscriptionSettings(language="en"))])
    assert isinstance(found, Transcript)
    return found


def first_sentence(file: str) -> tuple[Pcm, list[tuple[str, int]]]:
    """The sound of a sample's first turn with what is around it, and its words with their starts in ms."""
    turn = json.loads((SAMPLES / "truth" / f"{file}.json").read_text())["turns"][0]
    pcm = decode(SAMPLES / file, max_duration_s=60).pcm.cut(Span.from_seconds(0, turn["end_s"] + 0.1))
    words = [(word["text"].lower().strip(".,?!"), round(word["start_s"] * 1000)) for word in turn["words"]]
    return pcm, words


def test_words_and_their_times(engine: PocketSphinxTranscriber) -> None:
    pcm, truth = first_sentence("doctor_appointment.wav")
    found = transcript(engine, pcm)
    starts = {word.text: word.span.start_ms for word in found.words}
    errors = [abs(starts[text] - start_ms) for text, start_ms in truth if text in starts]
    assert len(errors) >= 0.7 * len(truth)
    assert np.median(errors) <= 80
    assert found.language == "en"
    assert not any(mark in found.text for mark in "()<>[]")


def test_a_pause_ends_a_segment(engine: PocketSphinxTranscriber) -> None:
    pcm, _ = first_sentence("doctor_appointment.wav")
    twice = Pcm(samples=np.concatenate([pcm.samples, np.zeros((1, 12_000), np.int16), pcm.samples], axis=1))
    segments = transcript(engine, twice).segments
    assert len(segments) >= 2
    assert all(before.span.gap_ms(after.span) >= 300 for before, after in pairwise(segments))
    for segment in segments:
        assert segment.text == " ".join(word.text for word in segment.words)
        assert all(before.span.gap_ms(after.span) < 300 for before, after in pairwise(segment.words))


def test_a_telephone_is_understood(engine: PocketSphinxTranscriber) -> None:
    """A whole conversation: one sentence more or less is chance."""
    turns = json.loads((SAMPLES / "truth" / "doctor_appointment.wav.json").read_text())["turns"]
    said = {word["text"].lower().strip(".,?!") for turn in turns for word in turn["words"]}
    pcm = decode(SAMPLES / "doctor_appointment.wav", max_duration_s=60).pcm
    narrow = soxr.resample(soxr.resample(pcm.samples[0], 16_000, 8_000), 8_000, 16_000)
    heard = set(transcript(engine, Pcm(samples=narrow[None])).text.split())
    assert len(said & heard) >= 0.6 * len(said)


@given(st.lists(st.tuples(st.integers(0, 3_000), st.integers(1, 60_000)), max_size=12))
@settings(deadline=None, max_examples=50)
def test_utterances_hold_all_speech_in_pieces_the_decoder_can_take(gaps_and_lengths: list[tuple[int, int]]) -> None:
    speech: list[Span] = []
    now = 0
    for gap, length in gaps_and_lengths:
        speech.append(Span(start_ms=now + gap, end_ms=now + gap + length))
        now += gap + length
    found = list(utterances(speech))
    assert all(0 < span.duration_ms <= LIMIT_MS for span in found)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(found))
    for span in speech:
        assert sum(span.overlap_ms(one) for one in found) == span.duration_ms
