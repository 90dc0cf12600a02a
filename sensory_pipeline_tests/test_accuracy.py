"""The measure itself: small cases worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.accuracy import conditions_table, groups, heard
from bench.der import best_mapping, diarization_errors
from bench.scoring import NOBODY, Heard, HeardWord, score, summarise, tokens, voice_error_rates
from bench.truth import TrueSpeaker, TrueTurn, TrueWord, Truth
from sensory_pipeline.core.diarization import Turn
from sensory_pipeline.core.spans import Span


def turn(start_ms: int, end_ms: int, speaker: str) -> Turn:
    return Turn(span=Span(start_ms=start_ms, end_ms=end_ms), speaker=speaker)


def truth_of(*said: tuple[str, str]) -> Truth:
    """Every word takes 0.5 s; turns follow each other without a gap."""
    turns: list[TrueTurn] = []
    for speaker, text in said:
        start_s = turns[-1].end_s if turns else 0.0
        words = tuple(
            TrueWord(text=word, start_s=start_s + i / 2, end_s=start_s + (i + 1) / 2)
            for i, word in enumerate(text.split())
        )
        turns.append(TrueTurn(speaker=speaker, start_s=start_s, end_s=words[-1].end_s, text=text, words=words))
    return Truth(
        file="case.wav",
        condition="two speakers" if said else "silence",
        seed=0,
        codec="pcm_s16le",
        sample_rate_hz=16_000,
        channels=1,
        duration_s=10,
        snr_db=None,
        speakers={
            name: TrueSpeaker(voice=voice, channel=0, level_db=0)
            for name, voice in (("A", "slt"), ("B", "rms"))
            if said
        },
        turns=tuple(turns),
    )


def heard_of(*said: tuple[str | None, str], turns: tuple[Turn, ...] = ()) -> Heard:
    """Every word takes 0.5 s, one after the other."""
    words = [(speaker, word) for speaker, text in said for word in text.split()]
    return Heard(
        words=tuple(
            HeardWord(text=word, span=Span(start_ms=500 * i, end_ms=500 * i + 500), speaker=speaker)
            for i, (speaker, word) in enumerate(words)
        ),
        turns=turns,
    )


TRUTH = truth_of(("A", "Good morning, how are you?"), ("B", "Very well."))


def test_perfect_under_other_names() -> None:
    turns = (turn(0, 2500, "SPEAKER_00"), turn(2500, 3500, "SPEAKER_01"))
    said = (("SPEAKER_00", "good morning how are you"), ("SPEAKER_01", "very well"))
    figures = summarise([score(TRUTH, heard_of(*said, turns=turns))])
    assert figures.words == 7
    assert (figures.wer, figures.der, figures.der_collared, figures.start_error_ms) == (0, 0, 0, 0)
    assert (figures.right_speaker_of_paired, figures.right_speaker_of_all) == (1, 1)
    assert figures.right_speaker_count == 1


def test_word_errors_count_against_their_voices() -> None:
    # "are" is missing, "well" is another word, "um" is added after "Very".
    item = score(TRUTH, heard_of(("X", "good morning how you"), ("Y", "very um wall")))
    assert item.words == {"slt": 5, "rms": 2}
    assert item.word_errors == {"slt": 1, "rms": 2}
    assert summarise([item]).wer == pytest.approx(3 / 7)
    assert voice_error_rates([item, item]) == {"slt": pytest.approx(1 / 5), "rms": 1}


def test_words_with_the_right_speaker() -> None:
    # Of seven words "you" is missing, "very" is given to the other and nobody claims "good".
    item = score(TRUTH, heard_of((None, "good"), ("X", "morning how are very"), ("Y", "well")))
    assert (item.paired, item.right_speaker) == (6, 4)
    figures = summarise([item])
    assert figures.right_speaker_of_paired == pytest.approx(4 / 6)
    assert figures.right_speaker_of_all == pytest.approx(4 / 7)


def test_one_found_speaker_stands_for_one_true_speaker() -> None:
    item = score(TRUTH, heard_of(("X", "good morning how are you very well")))
    assert (item.paired, item.right_speaker) == (7, 5)


def test_words_in_silence_are_errors_of_nobody() -> None:
    item = score(truth_of(), heard_of(("X", "the the"), turns=(turn(0, 1000, "X"),)))
    assert item.word_errors == {NOBODY: 2}
    figures = summarise([item])
    assert (figures.word_errors, figures.wer, figures.der) == (2, None, None)
    assert figures.right_speaker_count == 0


def test_nothing_heard() -> None:
    figures = summarise([score(TRUTH, heard_of())])
    assert (figures.wer, figures.der, figures.right_speaker_of_all) == (1, 1, 0)
    assert figures.right_speaker_of_paired is None


def test_figures_are_rates_of_sums() -> None:
    short = truth_of(("A", "Hello."))
    scores = [score(TRUTH, heard_of()), score(short, heard_of(("X", "hello")))]
    assert summarise(scores).wer == pytest.approx(7 / 8)


def test_words_are_compared_without_case_and_punctuation() -> None:
    assert tokens("I\u2019d say: twenty-one.") == ["i'd", "say", "twenty", "one"]


def test_diarization_errors_by_hand() -> None:
    reference = [turn(0, 4000, "A"), turn(5000, 8000, "B"), turn(7000, 9000, "A")]
    # x is A and y is B. Missed: 3.5 to 4 s, B or A while both speak (7 to 8 s), 8.5 to 9 s.
    # False alarm: 4.5 to 5 s. Confused: 5 to 5.5 s, where x speaks for B.
    hypothesis = [turn(0, 3500, "x"), turn(4500, 5500, "x"), turn(5500, 7500, "y"), turn(7500, 8500, "x")]
    errors = diarization_errors(reference, hypothesis, collar_ms=0)
    assert errors.speech_ms == 4000 + 3000 + 2000
    assert errors.missed_ms == 500 + 1000 + 500
    assert errors.false_alarm_ms == 500
    assert errors.confused_ms == 500
    assert errors.errors_ms == 3000


def test_the_collar_leaves_out_both_sides_of_every_true_edge() -> None:
    reference = [turn(1000, 3000, "A")]
    hypothesis = [turn(700, 2700, "x")]
    errors = diarization_errors(reference, hypothesis, collar_ms=250)
    assert errors.speech_ms == 1500
    assert errors.false_alarm_ms == 50
    assert errors.missed_ms == 50


def test_the_best_mapping_is_not_the_greedy_one() -> None:
    assert best_mapping({("x", "A"): 5, ("x", "B"): 6, ("y", "B"): 4}) == {"x": "A", "y": "B"}
    assert best_mapping({("x", "A"): 1, ("y", "A"): 2, ("z", "A"): 1}) == {"y": "A"}
    assert best_mapping({}) == {}


@st.composite
def alternating(draw: st.DrawFn) -> list[Turn]:
    edges = sorted(draw(st.sets(st.integers(0, 20_000), min_size=2, max_size=14)))
    return [turn(start, end, draw(st.sampled_from("ABC"))) for start, end in zip(edges[::2], edges[1::2], strict=False)]


@settings(deadline=None, max_examples=60)
@given(reference=alternating(), hypothesis=alternating(), collar_ms=st.sampled_from([0, 250]))
def test_diarization_errors_hang_together(reference: list[Turn], hypothesis: list[Turn], collar_ms: int) -> None:
    errors = diarization_errors(reference, hypothesis, collar_ms=collar_ms)
    assert min(errors.missed_ms, errors.false_alarm_ms, errors.confused_ms) >= 0
    assert errors.missed_ms + errors.confused_ms <= errors.speech_ms
    renamed = [turn(t.span.start_ms, t.span.end_ms, f"speaker {t.speaker}") for t in hypothesis]
    assert diarization_errors(reference, renamed, collar_ms=collar_ms) == errors
    assert diarization_errors(hypothesis, hypothesis, collar_ms=collar_ms).errors_ms == 0
    if not collar_ms:
        swapped = diarization_errors(hypothesis, reference, collar_ms=0)
        assert (swapped.missed_ms, swapped.false_alarm_ms) == (errors.false_alarm_ms, errors.missed_ms)
        assert swapped.confused_ms == errors.confused_ms


def test_reads_what_the_command_line_writes() -> None:
    words = [
        {"start": 0.1, "end": 0.4, "word": "hello", "probability": 0.9, "speaker": "SPEAKER_00"},
        {"start": 0.5, "end": 0.9, "word": "there", "probability": 0.8, "speaker": None},
    ]
    segments = [{"start": 0.1, "end": 0.9, "text": "hello there", "words": words}]
    turns = [{"start": 0.1, "end": 0.95, "speaker": "SPEAKER_00"}]
    result = {
        "tra": {"text": "hello there", "language": "en", "segments": segments},
        "dia": {"speakers": ["SPEAKER_00"], "turns": turns},
    }
    assert heard(result) == Heard(
        words=(
            HeardWord(text="hello", span=Span(start_ms=100, end_ms=400), speaker="SPEAKER_00"),
            HeardWord(text="there", span=Span(start_ms=500, end_ms=900), speaker=None),
        ),
        turns=(turn(100, 950, "SPEAKER_00"),),
    )


def test_figures_beyond_the_limits_are_marked() -> None:
    truths = [TRUTH, truth_of()]
    scores = [
        score(TRUTH, heard_of(("X", "good morning how are you very wall"))),
        score(truths[1], heard_of()),
    ]
    grouped = groups(truths, scores)
    assert {name: len(group) for name, group in grouped.items() if group} == {
        "two speakers": 1,
        "all wide band": 1,
        "silence": 1,
    }
    table = conditions_table({name: summarise(group) for name, group in grouped.items()})
    cells = {column.header: next(iter(column.cells)) for column in table.columns}
    assert cells["WER"] == "14.3 %"
    assert cells["DER, 0.25 s collar"] == "100.0 % !"
    assert cells["right speaker, of paired"] == "71.4 % !"
