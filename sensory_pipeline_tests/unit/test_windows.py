from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.emotion_windows import FILE_LIMIT_MS, emotion_windows, utterance_windows
from sensory_pipeline.core.process_request import EmotionLevel
from sensory_pipeline.core.sentences import LIMIT_MS, sentences
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.utterances import Utterance
from sensory_pipeline_tests.strategies import alone, attributed_word, diarizations, said, span, turn

WORD, SENTENCE, SPEAKER, FILE = EmotionLevel
HOUR = span(0, 3_600_000)


def inside(inner: Span, outer: Span) -> bool:
    return outer.start_ms <= inner.start_ms and inner.end_ms <= outer.end_ms


@settings(deadline=None, max_examples=40)
@given(
    level=st.sampled_from(EmotionLevel),
    spoken=said,
    diarization=diarizations(),
    length_ms=st.integers(1, 120_000),
)
def test_windows_are_inside_their_turn_and_the_recording(
    level: EmotionLevel, spoken: tuple[Utterance, ...], diarization: Diarization, length_ms: int
) -> None:
    recording = span(0, length_ms)
    for window in emotion_windows(level, spoken, recording, diarization=diarization):
        assert inside(window.span, window.turn)
        assert inside(window.turn, recording)
        heard = window.parts or (window.turn,)
        assert max(part.duration_ms for part in heard) <= (FILE_LIMIT_MS if level is FILE else LIMIT_MS)
        assert all(inside(part, recording) for part in heard)


@settings(deadline=None, max_examples=40)
@given(spoken=said)
def test_a_window_never_crosses_speakers(spoken: tuple[Utterance, ...]) -> None:
    for level in (WORD, SENTENCE):
        windows = emotion_windows(level, spoken, HOUR)
        pieces = [
            (utterance, piece.span if level is SENTENCE else word.spoken)
            for utterance in spoken
            for piece in sentences(utterance)
            for word in (piece.words if level is WORD else piece.words[:1])
        ]
        assert [window.span for window in windows] == [piece for _, piece in pieces]
        for window, (utterance, _) in zip(windows, pieces, strict=True):
            assert window.speaker == utterance.speaker
            assert inside(window.turn, utterance.span)
            if utterance.span.duration_ms <= LIMIT_MS:
                assert window.turn == utterance.span
    assert [(window.span, window.turn, window.speaker) for window in utterance_windows(spoken)] == [
        (one.span, one.span, one.speaker) for one in spoken
    ]


@settings(deadline=None, max_examples=40)
@given(spoken=said)
def test_an_utterance_is_classified_in_the_turns_of_its_words(spoken: tuple[Utterance, ...]) -> None:
    for utterance, window in zip(spoken, utterance_windows(spoken), strict=True):
        turns = list(dict.fromkeys(word.turn for word in emotion_windows(WORD, [utterance], HOUR)))
        assert (window.parts or (window.turn,)) == tuple(turns)


@settings(deadline=None, max_examples=40)
@given(data=st.data(), length_ms=st.integers(1, 400_000))
def test_file_windows_contain_all_speech(data: st.DataObject, length_ms: int) -> None:
    recording = span(0, length_ms)
    edges = sorted(data.draw(st.sets(st.integers(0, length_ms), max_size=20)))
    speech = [span(*pair) for pair in zip(edges[::2], edges[1::2], strict=False)]
    windows = emotion_windows(FILE, (), recording, speech=speech)
    assert all(window.span == window.turn and window.span.duration_ms <= FILE_LIMIT_MS for window in windows)
    heard = sum(window.span.overlap_ms(one) for window in windows for one in speech)
    assert heard == sum(one.duration_ms for one in speech)
    if length_ms <= FILE_LIMIT_MS:
        assert [window.span for window in windows] == [recording]
    if not speech:
        assert sum(window.span.duration_ms for window in windows) == length_ms


def test_a_long_recording_is_cut_at_its_pauses() -> None:
    speech = [span(1_000, 12_000), span(12_200, 20_000), span(22_000, 31_000), span(31_100, 45_000)]
    windows = emotion_windows(FILE, (), span(0, 50_000), speech=speech)
    assert [window.span for window in windows] == [span(1_000, 20_000), span(22_000, 45_000)]


def test_a_file_window_names_the_only_speaker() -> None:
    one = alone(turn("A", 0, 900))
    two = alone(turn("A", 0, 900), turn("B", 900, 1_000))
    names = [emotion_windows(FILE, (), span(0, 1_000), diarization=d)[0].speaker for d in (None, one, two)]
    assert names == [None, "A", None]


def test_without_words_turns_replace_sentences_and_words_have_no_window() -> None:
    diarization = alone(turn("A", 0, 2_000), turn("B", 2_000, 52_002))
    assert emotion_windows(WORD, (), HOUR, diarization=diarization) == ()
    windows = emotion_windows(SENTENCE, (), HOUR, diarization=diarization)
    assert [(window.speaker, window.span) for window in windows] == [
        ("A", span(0, 2_000)),
        ("B", span(2_000, 18_667)),
        ("B", span(18_667, 35_334)),
        ("B", span(35_334, 52_002)),
    ]
    assert emotion_windows(SENTENCE, (), HOUR) == ()


def test_each_turn_is_a_window_of_its_speaker() -> None:
    turns = (turn("A", 0, 30_000), turn("B", 29_000, 31_000))
    both = Diarization(turns=turns, exclusive=(turn("A", 0, 30_000), turn("B", 30_000, 31_000)))
    windows = emotion_windows(SPEAKER, (), HOUR, diarization=both)
    assert [(window.speaker, window.span) for window in windows] == [(each.speaker, each.span) for each in turns]
    assert windows[0].parts == (span(0, 15_000), span(15_000, 30_000))
    assert emotion_windows(SPEAKER, (), HOUR) == ()


def test_the_turn_of_a_long_utterance_is_the_part_around_the_window() -> None:
    words = tuple(attributed_word(f"W{i}.", i * 4_000, i * 4_000 + 3_900) for i in range(10))
    windows = emotion_windows(SENTENCE, [Utterance(words=words)], HOUR)
    assert [window.span for window in windows] == [word.spoken for word in words]
    assert len({window.turn for window in windows}) == 2
