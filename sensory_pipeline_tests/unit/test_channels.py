"""Where each channel is a speaker, nobody is guessed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.channels import PAUSE_MS, attribute_channels, channel_diarization, merged_transcript
from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.errors import EngineError, Terminal
from sensory_pipeline.core.process_request import ProcessRequest
from sensory_pipeline.core.results import attributed
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.core.transcripts import Segment, Transcript, Word
from sensory_pipeline.core.utterances import utterances
from sensory_pipeline.engines.base import DiarizeJob, EngineInfo, TranscribeJob
from sensory_pipeline.engines.diarization.channels import ChannelDiarizer
from sensory_pipeline.engines.selection import Engines
from sensory_pipeline.processing.tasks.audio_source import AudioSource
from sensory_pipeline.processing.tasks.perform import perform
from sensory_pipeline.processing.tasks.serialization import TRANSCRIPT
from sensory_pipeline.processing.tasks.task import StageTask
from sensory_pipeline.storage.local import stat_object
from sensory_pipeline_tests.audio_files import tones
from sensory_pipeline_tests.trivial_engines import TrivialClassifier

SPANS = st.lists(
    st.tuples(st.integers(0, 9_000), st.integers(1, 800)).map(lambda p: Span(start_ms=p[0], end_ms=p[0] + p[1])),
    max_size=6,
)


def transcript(*spans: Span) -> Transcript:
    return Transcript(
        language="en" if spans else None,
        segments=tuple(
            Segment(span=span, text="yes", words=(Word(text="yes", span=span, probability=1.0),)) for span in spans
        ),
    )


def segment(*words: tuple[str, int, int]) -> Transcript:
    """All of them in one segment: text, start and end in milliseconds."""
    said = tuple(Word(text=text, span=Span(start_ms=a, end_ms=b), probability=1.0) for text, a, b in words)
    whole = Segment(span=cover(word.span for word in said), text=" ".join(word.text for word in said), words=said)
    return Transcript(language="en", segments=(whole,))


def disjoint(spans: list[Span]) -> list[Span]:
    kept: list[Span] = []
    for span in sorted(spans):
        if not kept or span.start_ms >= kept[-1].end_ms:
            kept.append(span)
    return kept


@settings(max_examples=60, deadline=None)
@given(st.lists(SPANS.map(disjoint), min_size=1, max_size=3))
def test_every_word_has_its_channels_speaker(channels: list[list[Span]]) -> None:
    merged = merged_transcript([transcript(*spans) for spans in channels])
    found = channel_diarization(channels)
    words = attribute_channels(merged.words, found)
    assert len(words) == sum(map(len, channels))
    for word in words:
        assert word.speaker == f"SPEAKER_{word.word.channel:02d}"
        assert word.overlap_share == pytest.approx(1.0)
    assert [s.span.start_ms for s in merged.segments] == sorted(s.span.start_ms for s in merged.segments)
    assert sum(len(u.words) for u in utterances(attributed(merged, found))) == len(words)


@settings(max_examples=100, deadline=None)
@given(st.lists(SPANS.map(disjoint).filter(bool), min_size=2, max_size=3))
def test_no_word_is_lost_and_pauses_of_a_segment_have_no_speaker(channels: list[list[Span]]) -> None:
    """Each channel says all it has to say in one segment; a word of eight letters may take 1,100 ms."""
    merged = merged_transcript(
        [segment(*((f"word{channel}{i:03d}", s.start_ms, s.end_ms) for i, s in enumerate(spans)))
         for channel, spans in enumerate(channels)]
    )  # fmt: skip
    for channel, spans in enumerate(channels):
        assert [word.span for word in merged.words if word.channel == channel] == spans
    assert [s.span.start_ms for s in merged.segments] == sorted(s.span.start_ms for s in merged.segments)
    for part in merged.segments:
        assert part.text == " ".join(word.text for word in part.words)
        for before, after in pairwise(part.words):
            if after.span.start_ms - before.span.end_ms >= PAUSE_MS:
                middles = [
                    w.span.start_ms + w.span.duration_ms // 2 for w in merged.words if w.channel != before.channel
                ]
                assert not [ms for ms in middles if before.span.end_ms <= ms < after.span.start_ms]


@settings(max_examples=60, deadline=None)
@given(st.lists(SPANS.map(disjoint), min_size=1, max_size=3))
def test_exclusive_turns_do_not_overlap_and_cover_the_same(channels: list[list[Span]]) -> None:
    found = channel_diarization(channels)
    assert all(a.span.end_ms <= b.span.start_ms for a, b in zip(found.exclusive, found.exclusive[1:], strict=False))
    both = [np.zeros(10_000, bool), np.zeros(10_000, bool)]
    for mask, turns in zip(both, (found.turns, found.exclusive), strict=True):
        for turn in turns:
            mask[turn.span.start_ms : turn.span.end_ms] = True
    assert (both[0] == both[1]).all()


def test_overlapped_speech_is_marked() -> None:
    a, b = Span(start_ms=0, end_ms=1000), Span(start_ms=800, end_ms=2000)
    merged = merged_transcript([segment(("Certainly.", 0, 1000)), segment(("Absolutely!", 800, 2000))])
    assert [w.overlapped for w in attribute_channels(merged.words, channel_diarization([[a], [b]]))] == [True, True]


def test_a_question_comes_before_its_answer() -> None:
    asks = segment(("How", 0, 300), ("are", 300, 500), ("you?", 500, 900), ("Good.", 5000, 5400))
    answers = segment(("Fine.", 1500, 1900), ("Bye.", 6500, 6900))
    merged = merged_transcript([asks, answers])
    assert merged.text == "How are you? Fine. Good. Bye."
    assert [(s.span.start_ms, s.span.end_ms) for s in merged.segments] == [
        (0, 900), (1500, 1900), (5000, 5400), (6500, 6900)
    ]  # fmt: skip
    found = channel_diarization([[word.span for word in one.words] for one in (asks, answers)])
    starts = [utterance.span.start_ms for utterance in utterances(attributed(merged, found))]
    assert starts == [0, 1500, 5000, 6500]


@pytest.mark.parametrize("starts_ms", [850, 950])
def test_a_word_that_begins_within_a_question_can_be_its_answer(starts_ms: int) -> None:
    asks = segment(("How", 0, 300), ("are", 300, 500), ("you?", 500, 900), ("Good.", 5000, 5400))
    answers = segment(("Fine.", starts_ms, 1300))
    assert merged_transcript([asks, answers]).text == "How are you? Fine. Good."


def test_an_answer_comes_before_what_follows_a_stretched_word() -> None:
    asks = segment(("Well?", 0, 4000), ("Good.", 4000, 4400))
    answers = segment(("Fine.", 1500, 1900))
    merged = merged_transcript([asks, answers])
    assert merged.text == "Well? Fine. Good."
    heard = [[Span(start_ms=0, end_ms=500), Span(start_ms=4000, end_ms=4400)], [Span(start_ms=1500, end_ms=1900)]]
    said = utterances(attributed(merged, channel_diarization(heard)))
    assert [(utterance.text, utterance.span.start_ms) for utterance in said] == [
        ("Well?", 0), ("Fine.", 1500), ("Good.", 4000)
    ]  # fmt: skip


@pytest.mark.parametrize("pause_ms", [0, PAUSE_MS - 1])
def test_an_interruption_does_not_cut_a_sentence(pause_ms: int) -> None:
    tells = segment(("I", 0, 200), ("think", 200 + pause_ms, 700 + pause_ms), ("so.", 700 + pause_ms, 1000 + pause_ms))
    agrees = segment(("Mhm.", 250, 350))
    assert merged_transcript([tells, agrees]).text == "I think so. Mhm."


def test_a_word_stretched_over_silence_is_placed_where_its_channel_has_sound() -> None:
    heard = [[Span(start_ms=0, end_ms=500), Span(start_ms=8000, end_ms=8400)], [Span(start_ms=1500, end_ms=3000)]]
    asks = segment(("Well?", 0, 4000), ("Yes.", 5000, 8400))
    well, yes = attribute_channels(merged_transcript([asks, transcript()]).words, channel_diarization(heard))
    assert (well.spoken, well.overlapped) == (Span(start_ms=0, end_ms=700), False)
    assert yes.spoken == Span(start_ms=7800, end_ms=8400)
    assert yes.overlap_share == pytest.approx(400 / 600)


def test_speech_before_or_after_is_not_overlapped() -> None:
    merged = merged_transcript([segment(("Certainly.", 0, 1000)), segment(("Fine.", 700, 900))])
    found = channel_diarization([[Span(start_ms=0, end_ms=300)], [Span(start_ms=700, end_ms=900)]])
    assert [word.overlapped for word in attribute_channels(merged.words, found)] == [False, False]


def test_a_word_without_a_channel_is_an_error() -> None:
    with pytest.raises(ValueError, match="no channel"):
        attribute_channels(transcript(Span(start_ms=0, end_ms=9)).words, Diarization(turns=(), exclusive=()))


def test_silence_on_every_channel() -> None:
    pcm = Waveform(samples=np.zeros((2, 16_000), np.int16))
    ((_, found),) = ChannelDiarizer().diarize([DiarizeJob(key="a", pcm=pcm, settings=ProcessRequest().dia)])
    assert found == Diarization(turns=(), exclusive=())


class LoudnessTranscriber:
    """Says how loud each thing it hears is; refuses what is very loud."""

    info = EngineInfo(engine="loudness", model="none", revision="1", algorithm=1)

    def transcribe(self, jobs: Iterable[TranscribeJob]) -> Iterator[tuple[str, Transcript | Terminal]]:
        for job in jobs:
            assert job.pcm.channels == 1
            level = int(np.abs(job.pcm.samples).max()) // 1000
            if level > 20:
                yield job.key, EngineError("too loud")
                continue
            word = Word(text=str(level), span=Span(start_ms=level * 100, end_ms=level * 100 + 50), probability=1.0)
            yield job.key, Transcript(language="en", segments=(Segment(span=word.span, text=word.text, words=(word,)),))


@pytest.mark.parametrize(("levels", "expected"), [((3000, 1500), [("1", 1), ("3", 0)]), ((3000, 30_000), None)])
def test_channels_are_transcribed_one_by_one(
    levels: tuple[int, int], expected: list[tuple[str, int]] | None, tmp_path: Path
) -> None:
    listed = stat_object(tones(tmp_path / "call.wav", 800, levels))
    source = AudioSource(
        uri=listed.uri, version=listed.version, decoded=tmp_path / "d.wav", max_duration_s=60, stereo=True
    )
    task = StageTask(recording_id="call", source=source, request=ProcessRequest(stereo=True), limit_s=9)
    engines = Engines(transcriber=LoudnessTranscriber(), diarizer=ChannelDiarizer(), classifier=TrivialClassifier())
    ((key, answer),) = perform(Stage.TRANSCRIPTS, engines, iter([task]))
    assert key == "call"
    if expected is None:
        assert isinstance(answer, EngineError)
    else:
        assert isinstance(answer, str)
        assert [(w.text, w.channel) for w in TRANSCRIPT.validate_json(answer).words] == expected
