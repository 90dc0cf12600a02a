from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from sensory_pipeline.core.pauses import pack_spans, parts, split_at_pauses
from sensory_pipeline.core.sentences import LIMIT_MS, sentences
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.core.transcripts import Word
from sensory_pipeline.core.utterances import Utterance
from sensory_pipeline_tests.strategies import attributed_word, said, span, words


def utterance(*words: tuple[str, int, int]) -> Utterance:
    return Utterance(words=tuple(attributed_word(*word) for word in words))


def texts(whole: Utterance) -> list[str]:
    return [sentence.text for sentence in sentences(whole)]


@st.composite
def long_utterances(draw: st.DrawFn) -> Utterance:
    """Up to a minute and a half, in words of at most 1 s; without full stops as often as with."""
    now = 0
    found = []
    choices = draw(st.sampled_from((("yes", "so"), ("yes", "so", "No.", "Dr."))))
    for _ in range(draw(st.integers(1, 60))):
        now += draw(st.sampled_from((0, 30, 300, 700, 1_900)))
        length = draw(st.integers(100, 1_000))
        found.append((draw(st.sampled_from(choices)), now, now + length))
        now += length
    return utterance(*found)


@settings(deadline=None, max_examples=40)
@given(whole=long_utterances())
def test_sentences_are_the_utterance_in_pieces_of_limited_length(whole: Utterance) -> None:
    found = sentences(whole)
    assert tuple(word for sentence in found for word in sentence.words) == whole.words
    assert all(sentence.span.duration_ms <= LIMIT_MS for sentence in found)


@settings(deadline=None, max_examples=40)
@given(spoken=said)
def test_a_sentence_is_within_one_utterance(spoken: tuple[Utterance, ...]) -> None:
    for whole in spoken:
        assert tuple(word for sentence in sentences(whole) for word in sentence.words) == whole.words


def test_punctuation_ends_sentences_and_pauses_then_do_not() -> None:
    whole = utterance(("I", 0, 200), ("am.", 200, 400), ("Dr.", 450, 700), ("No", 1_900, 2_000), ("too", 2_000, 2_200))
    assert texts(whole) == ["I am.", "Dr. No too"]


def test_without_punctuation_pauses_end_sentences() -> None:
    whole = utterance(("i", 0, 200), ("am", 799, 900), ("so", 1_500, 1_700), ("are", 1_700, 1_900))
    assert texts(whole) == ["i am", "so are"]


def test_a_long_utterance_is_cut_at_its_longest_pause() -> None:
    found = [(f"w{i}", i * 1_000, i * 1_000 + 950 - 200 * (i == 17)) for i in range(30)]
    first, second = sentences(utterance(*found, ("end.", 30_000, 30_500)))
    assert (len(first.words), len(second.words)) == (18, 13)


@settings(deadline=None, max_examples=40)
@given(found=words(), limit_ms=st.integers(1_000, 30_000))
def test_stretches_cover_everything_within_the_limit(found: list[Word], limit_ms: int) -> None:
    spans = disjoint(found)
    runs = list(split_at_pauses(spans, limit_ms))
    assert [one for run in runs for one in spans[run]] == spans
    for run in runs:
        assert len(spans[run]) == 1 or cover(spans[run]).duration_ms <= limit_ms


@settings(deadline=None, max_examples=100)
@given(found=words(), limit_ms=st.integers(200, 30_000))
def test_the_fewest_cover_everything_within_the_limit(found: list[Word], limit_ms: int) -> None:
    spans = disjoint(found)
    ways = [way for way in divisions(spans[:8]) if all(fits(run, limit_ms) for run in way)]
    best = min(ways, key=lambda way: cost(way, limit_ms), default=[])
    runs = [spans[:8][run] for run in pack_spans(spans[:8], limit_ms)]
    assert [one for run in runs for one in run] == spans[:8]
    assert all(fits(run, limit_ms) for run in runs)
    assert cost(runs, limit_ms) == cost(best, limit_ms)


def disjoint(found: list[Word]) -> list[Span]:
    """Of the words, in order of time."""
    spans: list[Span] = []
    now = 0
    for one in found:
        spans.append(span(max(now, one.span.start_ms), max(now, one.span.end_ms)))
        now = spans[-1].end_ms
    return spans


def divisions(spans: list[Span]) -> Iterator[list[list[Span]]]:
    """All ways to divide them into runs."""
    for cuts in range(len(spans)):
        for at in combinations(range(1, len(spans)), cuts):
            yield [spans[first:last] for first, last in pairwise([0, *at, len(spans)])]


def fits(run: list[Span], limit_ms: int) -> bool:
    return len(run) == 1 or cover(run).duration_ms <= limit_ms


def cost(runs: list[list[Span]], limit_ms: int) -> tuple[int, int, int]:
    short = sum(cover(run).duration_ms < limit_ms / 3 for run in runs)
    return len(runs), short, -sum(before[-1].gap_ms(after[0]) for before, after in pairwise(runs))


@settings(deadline=None, max_examples=40)
@given(start_ms=st.integers(0, 10**6), length_ms=st.integers(0, 10**6), limit_ms=st.integers(1, 10**5))
def test_parts_are_equal_to_a_millisecond(start_ms: int, length_ms: int, limit_ms: int) -> None:
    limit_ms = max(limit_ms, length_ms // 100)
    if limit_ms == 0:
        return
    found = list(parts(span(start_ms, start_ms + length_ms), limit_ms))
    assert (found[0].start_ms, found[-1].end_ms) == (start_ms, start_ms + length_ms)
    lengths = [part.duration_ms for part in found]
    assert max(lengths) <= limit_ms
    assert max(lengths) - min(lengths) <= 1
