from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings

from sensory_pipeline.core.punctuation import ends_sentence, join
from sensory_pipeline.core.utterances import LONG_PAUSE_MS, AttributedWord, pause_ms, utterances
from sensory_pipeline_tests.strategies import attributed, attributed_word, span


@settings(deadline=None, max_examples=60)
@given(words=attributed)
def test_every_word_is_in_one_utterance_of_its_speaker(words: tuple[AttributedWord, ...]) -> None:
    found = utterances(words)
    assert tuple(word for utterance in found for word in utterance.words) == words
    for utterance in found:
        assert {word.speaker for word in utterance.words} == {utterance.speaker}
        assert all(word.spoken.clip(utterance.span) == word.spoken for word in utterance.words)
        assert all(pause_ms(*pair) < LONG_PAUSE_MS for pair in pairwise(utterance.words))
    for before, after in pairwise(found):
        paused = pause_ms(before.words[-1], after.words[0]) >= LONG_PAUSE_MS
        assert paused or before.speaker != after.speaker


def test_a_change_of_speaker_and_a_long_pause_end_an_utterance() -> None:
    words = [
        attributed_word("Are", 0, 200),
        attributed_word("you?", 300, 500),
        attributed_word("Yes.", 600, 900, "B"),
        attributed_word("Well.", 2_899, 3_000, "B"),
        attributed_word("Good.", 5_000, 5_300, "B"),
    ]
    found = utterances(words)
    assert [(one.speaker, one.text, one.span) for one in found] == [
        ("A", "Are you?", span(0, 500)),
        ("B", "Yes. Well.", span(600, 3_000)),
        ("B", "Good.", span(5_000, 5_300)),
    ]


def test_no_words_make_no_utterance() -> None:
    assert utterances([]) == ()


def test_marks_that_end_a_sentence() -> None:
    ending = [("so.", "The"), ("so!", "the"), ("so?", None), ("so…", "The"), ('so."', "The"), ("です。", "は")]
    assert all(ends_sentence(*words) for words in ending)
    open_ended = [
        ("so", None),
        ("so,", "The"),
        ("so…", "the"),
        ("J.", "Bach"),
        ("тыс.", "Рублей"),
        ("e.g.", "the"),
        ("-", "a"),
    ]
    assert not any(ends_sentence(*words) for words in open_ended)


def test_spaces_are_left_out_only_between_chinese_and_japanese() -> None:
    def joined(*texts: str) -> str:
        return join(attributed_word(text, 0, 100).word for text in texts)

    assert joined("我们", "用", "Python", "写。") == "我们用 Python 写。"
    assert joined("안녕", "하세요") == "안녕 하세요"
    assert joined() == ""
