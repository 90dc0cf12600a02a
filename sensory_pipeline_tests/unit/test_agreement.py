"""Final words of live speech: never changed, none twice, none lost, for all hypotheses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensory_pipeline.core.agreement import LEAST_ROOM_MS, MOST_MS, ROOM_MS, LocalAgreement
from sensory_pipeline.core.transcripts import Word
from sensory_pipeline_tests.strategies import span, word, words


def texts(found: Sequence[Word]) -> str:
    return " ".join(each.text for each in found)


def listed(text: str, start_ms: int = 0) -> list[Word]:
    """A word each 400 ms, with 100 ms between."""
    return [word(one, start_ms + 400 * i, start_ms + 400 * i + 300) for i, one in enumerate(text.split())]


def test_two_hypotheses_that_agree_make_words_final() -> None:
    agreement = LocalAgreement()
    assert agreement.heard(listed("ask not"), 800) == ()
    assert texts(agreement.partial) == "ask not"
    assert texts(agreement.heard(listed("Ask not, what"), 1200)) == "Ask not,"
    assert texts(agreement.partial) == "what"
    # what is final stays as it was, however it is heard now
    assert texts(agreement.heard(listed("asked not what your"), 1600)) == "what"
    assert texts(agreement.ended(2500)) == "your"
    assert (agreement.partial, agreement.start_ms) == ((), 2500)


@pytest.mark.parametrize(
    ("first", "second", "final"),
    [
        ("no no", "no no", "no no"),
        ("no", "no no", "no"),
        ("it is not", "it was not", "it"),
        ("it", "", ""),
    ],
)
def test_the_longest_common_beginning_is_final(first: str, second: str, final: str) -> None:
    agreement = LocalAgreement()
    agreement.heard(listed(first), 2000)
    assert texts(agreement.heard(listed(second), 2000)) == final


def test_words_that_may_still_change_wait() -> None:
    agreement = LocalAgreement()
    unsure = [replace(one, probability=0.3) if one.text == "iron" else one for one in listed("there is iron they say")]
    agreement.heard(unsure, 2600)
    assert texts(agreement.heard(unsure, 2600)) == "there is"
    assert texts(agreement.heard(unsure, 6000)) == "iron they say"  # what follows does not change them
    # and so do those at the end of the sound
    agreement = LocalAgreement()
    agreement.heard(listed("there is"), 1000)
    assert texts(agreement.heard(listed("there is"), 1000)) == "there"
    assert texts(agreement.paused()) == "is"


def test_a_word_said_twice_is_kept_twice() -> None:
    agreement = LocalAgreement()
    agreement.heard(listed("no"), 400)
    assert texts(agreement.heard(listed("no"), 800)) == "no"
    agreement.heard(listed("no no"), 1000)
    assert texts(agreement.heard(listed("no no oh"), 1400)) == "no"
    assert texts(agreement.ended(3000)) == "oh"


def test_the_sound_is_cut_after_a_sentence() -> None:
    agreement = LocalAgreement()
    said = listed("one two. three four five six seven eight nine ten eleven twelve. And this is new here")
    agreement.heard(said, 14_500)
    agreement.heard(said, 14_500)
    assert agreement.start_ms == 4750  # between "twelve." and "And"
    # a rest of "twelve" is heard once more, and is not said twice
    again = [word("twelve", 4750, 4800), *listed("And this is new here today", 4800)]
    assert texts(agreement.heard(again, 15_000)) == ""
    assert texts(agreement.heard(again, 15_000)) == "today"
    assert texts(agreement.ended(15_500)) == ""


@pytest.mark.parametrize(
    ("end_ms", "room_ms", "start_ms"),
    [
        (13_900, ROOM_MS, 0),
        (14_100, ROOM_MS, 4750),
        (14_800, ROOM_MS, 9550),
        (9_600, LEAST_ROOM_MS, 0),
        (9_900, LEAST_ROOM_MS, 4750),
    ],
)
def test_the_sound_of_the_last_seconds_is_not_cut(end_ms: int, room_ms: int, start_ms: int) -> None:
    agreement = LocalAgreement()
    sentence = "One two three four five six seven eight nine ten eleven twelve."
    said = listed(f"{sentence} {sentence} And this is new")
    agreement.heard(said, end_ms, room_ms=room_ms)
    agreement.heard(said, end_ms, room_ms=room_ms)
    assert agreement.start_ms == start_ms


@dataclass(frozen=True)
class Speech:
    """What is said, and how a transcriber gets it wrong."""

    said: tuple[Word, ...]
    jitters: tuple[int, ...]
    residues: tuple[bool, ...]

    def hypothesis(self, number: int, start_ms: int, end_ms: int) -> list[Word]:
        """Words at times that are a little off; the last is heard wrongly, and of one before a rest may be heard."""
        jitter = self.jitters[number % len(self.jitters)]
        heard = []
        for one in self.said:
            if start_ms <= (one.span.start_ms + one.span.end_ms) // 2 and one.span.end_ms <= end_ms:
                times = span(max(0, one.span.start_ms + jitter), max(0, one.span.end_ms + jitter))
                heard.append(replace(one, span=times))
            elif one.span.start_ms < start_ms < one.span.end_ms + 100 and self.residues[number % len(self.residues)]:
                heard.append(replace(one, span=span(start_ms, start_ms + 60)))
        if heard and end_ms - heard[-1].span.end_ms < 300:
            heard[-1] = replace(heard[-1], text=f"garbled{number}")
        return heard


@st.composite
def speeches(draw: st.DrawFn, vocabulary: tuple[str, ...]) -> Speech:
    said = []
    now = 0
    for _ in range(draw(st.integers(1, 5) | st.integers(20, 60))):
        now += draw(st.integers(50, 400))
        length = draw(st.integers(200, 500))
        said.append(word(draw(st.sampled_from(vocabulary)), now, now + length))
        now += length
    offsets = st.lists(st.integers(-150, 150), min_size=1, max_size=7).map(tuple)
    residues = st.lists(st.booleans(), min_size=1, max_size=5).map(tuple)
    return Speech(said=tuple(said), jitters=draw(offsets), residues=draw(residues))


@settings(deadline=None)  # a whole stream each
@given(speeches(("yes", "no", "no.", "and", "Then", "home.", "we", "go")), st.integers(300, 1500))
def test_every_word_is_final_once_where_buffers_join(speech: Speech, step_ms: int) -> None:
    agreement = LocalAgreement()
    final: list[Word] = []
    end_ms = 0
    for number in range((speech.said[-1].span.end_ms + 1000) // step_ms + 1):
        end_ms += step_ms
        final += agreement.heard(speech.hypothesis(number, agreement.start_ms, end_ms), end_ms)
        assert end_ms - agreement.start_ms < MOST_MS
    final += agreement.ended(end_ms)
    assert texts(final) == texts(speech.said)
    starts = [each.span.start_ms for each in final]
    assert starts == sorted(starts)


@settings(deadline=None)
@given(st.lists(words(), min_size=1, max_size=30), st.integers(200, 20_000))
def test_the_buffered_sound_stays_short(hypotheses: list[list[Word]], step_ms: int) -> None:
    agreement = LocalAgreement()
    end_ms = last_ms = 0
    for heard in hypotheses:
        end_ms += step_ms
        moved = [replace(one, span=span(agreement.start_ms + one.span.start_ms, agreement.start_ms + one.span.end_ms))
                 for one in heard]  # fmt: skip
        before = agreement.start_ms
        for one in agreement.heard(moved, end_ms):
            assert one.span.start_ms >= last_ms
            last_ms = one.span.end_ms
        assert before <= agreement.start_ms
        assert end_ms - agreement.start_ms < MOST_MS
