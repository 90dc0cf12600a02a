from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.core.emotions import Emotion, EmotionWindow
from sensory_pipeline.core.spans import Span
from sensory_pipeline.engines.base import ClassifyJob, EmotionClassifier
from sensory_pipeline.engines.emotion.prosody import ProsodyClassifier
from sensory_pipeline_tests.voices import Doubles, noise, pulses, resonate


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """A way of speaking.

    pitch: semitones above the voice's own; spread: semitones of intonation to either side;
    level: dB; pace: syllables a second; press: dB of the upper formant.
    """

    pitch: float = 0
    spread: float = 1.5
    level: float = 0
    pace: float = 4
    press: float = 0


PLAIN = Style()
CALM = Style(pitch=-3, spread=0.5, level=-6, pace=3, press=-4)
EXCITED = Style(pitch=4, spread=3, level=6, pace=5.5, press=5)


def speak(style: Style, *, voice_hz: float = 120, seconds: float = 2.0, seed: int = 0) -> Doubles:
    """Vowels, in syllables; full scale is 1."""
    length = round(seconds * SAMPLE_RATE)
    t = np.arange(length) / SAMPLE_RATE
    start = np.random.default_rng(seed).uniform(0, 2 * np.pi)
    tune = style.pitch + style.spread * np.sin(2 * np.pi * 0.9 * t + start)
    source = pulses(voice_hz * 2 ** (tune / 12))
    vowel = resonate(source, 600, 90) + 10 ** (style.press / 20) * 0.3 * resonate(source, 2200, 150)
    syllables = 0.05 + np.sin(np.pi * style.pace * t) ** 2
    voice = vowel * syllables
    return np.asarray(voice * 0.05 * 10 ** (style.level / 20) / voice.std())


def recording(*parts: Doubles, gain: float = 1.0) -> Waveform:
    """The parts in a row, in a slightly noisy room."""
    signal = np.concatenate([np.zeros(0), *parts])
    room = signal + noise(len(signal)) * 3e-4
    return Waveform(samples=np.round(np.clip(room * gain, -1, 1) * 32767).astype(np.int16)[None])


def window(start_ms: int, end_ms: int, *, turn: Span | None = None, speaker: str | None = "A") -> EmotionWindow:
    span = Span(start_ms=start_ms, end_ms=end_ms)
    return EmotionWindow(span=span, turn=turn or span, speaker=speaker)


def classify(pcm: Waveform, windows: Sequence[EmotionWindow]) -> tuple[Emotion, ...]:
    job = ClassifyJob(key="recording", pcm=pcm, windows=tuple(windows), language=None)
    ((key, answer),) = ProsodyClassifier().classify([job])
    assert key == "recording"
    assert isinstance(answer, tuple)
    return answer


def conversation(turns: Sequence[tuple[str | None, float, Style]]) -> tuple[Waveform, list[EmotionWindow]]:
    """Turns of two seconds, each (speaker, Hz, style), with half a second between them."""
    pause = np.zeros(SAMPLE_RATE // 2)
    parts = [
        part for seed, (_, hz, style) in enumerate(turns) for part in (speak(style, voice_hz=hz, seed=seed), pause)
    ]
    windows = [window(i * 2500, i * 2500 + 2000, speaker=turn[0]) for i, turn in enumerate(turns)]
    return recording(*parts), windows


def arousals(answers: Sequence[Emotion]) -> list[float]:
    return [answer.arousal for answer in answers if answer.arousal is not None]


def scores(answer: Emotion) -> dict[str, float]:
    return asdict(answer.scores)


def words(turns: Sequence[EmotionWindow], word_ms: int = 250) -> list[EmotionWindow]:
    return [
        window(start, start + word_ms, turn=turn.span, speaker=turn.speaker)
        for turn in turns
        for start in range(turn.span.start_ms, turn.span.end_ms - word_ms + 1, word_ms)
    ]


def test_arousal_follows_style_and_gives_the_label() -> None:
    styles = [CALM, PLAIN, EXCITED, PLAIN] * 3
    answers = classify(*conversation([("A", 120, style) for style in styles]))
    by_style = {
        style: [answer for answer, was in zip(answers, styles, strict=True) if was is style]
        for style in (CALM, PLAIN, EXCITED)
    }
    assert max(arousals(by_style[CALM])) < -0.5 < min(arousals(by_style[PLAIN]))
    assert max(arousals(by_style[PLAIN])) < 0.5 < min(arousals(by_style[EXCITED]))
    assert {answer.scores.label for answer in by_style[CALM]} == {"sad"}
    assert {answer.scores.label for answer in by_style[PLAIN]} == {"neutral"}
    assert {answer.scores.label for answer in by_style[EXCITED]} <= {"angry", "positive"}
    assert {answer.caveat for answer in answers} == {"heuristic"}


def test_anger_and_joy_are_the_same_to_it() -> None:
    styles = [CALM, EXCITED, replace(EXCITED, spread=0), replace(EXCITED, spread=5)] * 2
    for answer in classify(*conversation([("A", 120, style) for style in styles])):
        assert abs(answer.scores.angry - answer.scores.positive) < 0.1
        assert 0.8 < answer.scores.angry / answer.scores.positive < 1.25


@pytest.mark.parametrize("trait", ["pitch", "spread", "level", "pace", "press"])
@pytest.mark.parametrize("voice_hz", [100, 210])
def test_each_trait_alone_raises_arousal(trait: str, voice_hz: float) -> None:
    more = replace(PLAIN, **{trait: getattr(EXCITED, trait)})
    less = replace(PLAIN, **{trait: getattr(CALM, trait)})
    answers = arousals(classify(*conversation([("A", voice_hz, style) for style in [less, more] * 4])))
    assert np.mean(answers[1::2]) > np.mean(answers[0::2]) + 0.12


def test_a_high_voice_is_not_an_excited_one() -> None:
    """Same manners, an octave apart: the same arousal; both always plain: none."""
    styles = [CALM, PLAIN, EXCITED, PLAIN] * 3
    both = [turn for style in styles for turn in (("low", 105, style), ("high", 210, style))]
    answers = arousals(classify(*conversation(both)))
    assert answers[0::2] == pytest.approx(answers[1::2], abs=0.2)
    plain = [turn for _ in range(5) for turn in (("low", 105, PLAIN), ("high", 210, PLAIN))]
    assert arousals(classify(*conversation(plain))) == pytest.approx([0] * 10, abs=0.4)


def test_unknown_speakers_are_one_group() -> None:
    turns = [(None, 105, PLAIN), (None, 210, PLAIN)] * 4
    answers = arousals(classify(*conversation(turns)))
    assert max(answers[0::2]) < min(answers[1::2])


def test_distance_to_the_microphone_does_not_matter() -> None:
    pcm, windows = conversation([("A", 120, style) for style in [CALM, PLAIN, EXCITED] * 2])
    far = Waveform(samples=(pcm.samples // 5).astype(np.int16))
    assert arousals(classify(far, windows)) == pytest.approx(arousals(classify(pcm, windows)), abs=0.05)


@pytest.mark.parametrize("style", [CALM, EXCITED])
@pytest.mark.parametrize("seconds", [0.5, 2, 20])
def test_a_speaker_without_comparison_is_neutral(style: Style, seconds: float) -> None:
    pcm = recording(speak(style, seconds=seconds))
    (answer,) = classify(pcm, [window(0, pcm.duration_ms, speaker=None)])
    assert answer.scores.label == "neutral"
    assert answer.arousal == pytest.approx(0, abs=1e-6)
    assert answer.voiced_ms > 300 * seconds


def test_words_of_a_single_short_turn_are_alike() -> None:
    pcm = recording(speak(PLAIN, seconds=1), speak(EXCITED, seconds=1))
    assert arousals(classify(pcm, words([window(0, 2000)]))) == pytest.approx([0] * 8, abs=1e-6)


def test_fewer_turns_give_more_careful_scores() -> None:
    few, more, many = (
        arousals(classify(*conversation([("A", 120, style) for style in [CALM, EXCITED] * times])))[:2]
        for times in (1, 2, 6)
    )
    assert 0 > few[0] > more[0] > many[0]
    assert 0 < few[1] < more[1] < many[1]


def test_less_voice_gives_scores_closer_to_the_turn() -> None:
    """A shout inside a plain turn, heard through ever longer windows of whole syllables."""
    shout = Style(pitch=6, spread=0, level=6)
    pcm = recording(*[speak(replace(PLAIN, spread=0), seconds=4)] * 3, speak(shout, seconds=2))
    turns = [Span(start_ms=0, end_ms=6000), Span(start_ms=6000, end_ms=14_000)]
    lengths = [*range(250, 2001, 250)]
    asked = [window(12_000, 12_000 + length, turn=turns[1]) for length in lengths]
    around, *answers = classify(pcm, [window(6000, 14_000, turn=turns[1]), *asked, window(0, 6000)])
    own = arousals(answers[:-1])
    assert around.arousal is not None
    assert around.arousal < own[0]
    assert own == sorted(own)
    assert own[-1] > own[0] + 0.3


def test_a_word_is_shrunk_toward_its_turn() -> None:
    pcm, turns = conversation([("A", 120, style) for style in [CALM, EXCITED] * 3])
    around = arousals(classify(pcm, turns))
    inside = np.reshape(arousals(classify(pcm, words(turns))), (len(turns), -1))
    assert (inside / np.reshape(around, (-1, 1)) > 0.5).all()


def test_a_short_turn_is_shrunk_toward_the_speaker() -> None:
    turns = [("A", 120.0, style) for style in [CALM, PLAIN, EXCITED] * 3]
    pcm, windows = conversation(turns)
    excited = windows[2].span
    brief = window(excited.start_ms, excited.start_ms + 200)
    whole, cry = arousals(classify(pcm, [windows[2], brief, *windows[:2], *windows[3:]]))[:2]
    assert 0 < cry < whole / 1.5


def test_an_utterance_has_the_same_emotion_at_every_level() -> None:
    pcm, utterances = conversation(
        [(speaker, hz, style) for style in [CALM, PLAIN, EXCITED] for speaker, hz in [("A", 110), ("B", 190)]]
    )
    sentences = [
        window(start, start + 1000, turn=turn.span, speaker=turn.speaker)
        for turn in utterances
        for start in (turn.span.start_ms, turn.span.start_ms + 1000)
    ]
    alone = classify(pcm, utterances)
    for items in (words(utterances)[::3], sentences[:4]):
        together = classify(pcm, [*items, *utterances])
        assert together[len(items) :] == alone
        assert together[: len(items)] == classify(pcm, [*items, *words(utterances)])[: len(items)]


def test_overlapping_turns_count_once() -> None:
    pcm, turns = conversation([("A", 120, style) for style in [CALM, EXCITED, PLAIN]])
    nested = words(turns[1:2], word_ms=1000)
    twice = [window(w.span.start_ms, w.span.end_ms) for w in nested]
    assert classify(pcm, [*turns, *twice])[:3] == classify(pcm, turns)


def test_the_order_of_windows_does_not_matter() -> None:
    pcm, turns = conversation([("A", 120, style) for style in [CALM, EXCITED, PLAIN]])
    asked = [*turns, *words(turns)]
    assert classify(pcm, asked[::-1]) == classify(pcm, asked)[::-1]


def test_silence_has_no_words() -> None:
    silence = Waveform(samples=np.zeros((1, 3 * SAMPLE_RATE), np.int16))
    pcm, turns = conversation([("A", 120, style) for style in [CALM, EXCITED]])
    pause = window(2100, 2400, turn=Span(start_ms=0, end_ms=4500))
    for answer in (*classify(silence, [window(0, 3000), window(0, 500)]), classify(pcm, [*turns, pause])[-1]):
        assert answer.voiced_ms == 0
        assert answer.arousal == 0
        assert answer.scores.label == "neutral"
        assert answer.scores.entropy > 1.35


def test_voiced_time_is_counted_inside_the_window() -> None:
    pcm = recording(speak(PLAIN, seconds=1), np.zeros(SAMPLE_RATE))
    spoken, all_of_it, tail = classify(pcm, [window(0, 1000), window(0, 2000), window(1500, 9000)])
    assert 700 < spoken.voiced_ms <= 1000
    assert spoken.voiced_ms <= all_of_it.voiced_ms <= 1050
    assert tail.voiced_ms == 0


def test_no_windows_and_very_short_audio() -> None:
    assert classify(recording(speak(PLAIN)), []) == ()
    for length in (0, 1, 100, 500):
        pcm = Waveform(samples=np.full((1, length), 500, np.int16))
        for answer in classify(pcm, [window(0, 0), window(0, pcm.duration_ms), window(5, 6), window(0, 900)]):
            assert answer.voiced_ms == 0
            assert answer.arousal == 0


def test_jobs_are_answered_one_by_one() -> None:
    pcm, turns = conversation([("A", 120, PLAIN)])
    asked = []

    def jobs() -> Iterator[ClassifyJob]:
        for key in ("first", "second"):
            asked.append(key)
            yield ClassifyJob(key=key, pcm=pcm, windows=tuple(turns), language="en")

    classifier: EmotionClassifier = ProsodyClassifier()
    answers = classifier.classify(jobs())
    assert next(answers)[0] == "first"
    assert asked == ["first"]
    assert [key for key, _ in answers] == ["second"]
    assert classifier.info == ProsodyClassifier().info


def test_many_words_take_little_more_time_than_none() -> None:
    """A word must not cost a pass over the recording; 9,000 of them take 0.1 s here."""
    pcm = recording(*[speak(PLAIN, seconds=60)] * 2)
    turn = window(0, 120_000)
    asked = [window(start, start + 300, turn=turn.span) for start in range(0, 118_000, 13)]
    began = time.process_time()
    assert len(classify(pcm, asked)) > 9000
    assert time.process_time() - began < 3


SCENE = recording(
    speak(CALM, voice_hz=90),
    np.zeros(SAMPLE_RATE),
    noise(SAMPLE_RATE) * 0.05,
    speak(EXCITED, voice_hz=220, seed=1),
    np.zeros(SAMPLE_RATE // 3),
    speak(PLAIN, voice_hz=150, seed=2),
)


@st.composite
def windows_anywhere(draw: st.DrawFn) -> EmotionWindow:
    """Inside their turn; turns may overlap, be empty, or lie past the end of the recording."""
    edges = sorted(draw(st.lists(st.integers(0, 12_000), min_size=4, max_size=4)))
    turn = Span(start_ms=edges[0], end_ms=edges[3])
    return window(edges[1], edges[2], turn=turn, speaker=draw(st.sampled_from(["A", "B", None])))


@settings(deadline=None, max_examples=40)
@given(asked=st.lists(windows_anywhere(), max_size=12))
def test_any_windows_get_valid_scores(asked: list[EmotionWindow]) -> None:
    answers = classify(SCENE, asked)
    assert [answer.window for answer in answers] == asked
    for answer in answers:
        assert sum(scores(answer).values()) == pytest.approx(1, abs=1e-9)
        assert all(0 < share < 1 for share in scores(answer).values())
        assert answer.arousal is not None
        assert abs(answer.arousal) <= 3
        assert 0 <= answer.voiced_ms <= answer.window.span.duration_ms
        assert answer.caveat == "heuristic"
    assert classify(SCENE, asked) == answers
