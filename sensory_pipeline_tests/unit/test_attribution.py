from __future__ import annotations

from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bench.attribution import CONDITIONS, measure
from sensory_pipeline.core.attribution import HESITATION_MS, MID_SENTENCE_MS, REACH_MS, attribute, plausible_ms
from sensory_pipeline.core.diarization import Diarization, Turn
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.transcripts import Word
from sensory_pipeline_tests.strategies import alone, diarizations, span, turn, word, words


def speakers(said: list[Word], diarization: Diarization) -> list[str | None]:
    return [word.speaker for word in attribute(said, diarization)]


def within_reach(word: Word, diarization: Diarization) -> set[str]:
    return {
        turn.speaker for turn in diarization.turns if turn.span.duration_ms and turn.span.gap_ms(word.span) <= REACH_MS
    }


def covered_ms(inside: Span, turns: list[Turn]) -> int:
    return sum(
        any(turn.span.start_ms <= ms < turn.span.end_ms for turn in turns)
        for ms in range(inside.start_ms, inside.end_ms)
    )


@settings(deadline=None, max_examples=100)
@given(said=words(), diarization=diarizations())
def test_no_word_is_without_a_speaker_while_anyone_is_within_reach(said: list[Word], diarization: Diarization) -> None:
    for found in attribute(said, diarization):
        near = within_reach(found.word, diarization)
        assert (found.speaker in near) if near else (found.speaker is None)
        assert (found.runner_up in near - {found.speaker}) if len(near) > 1 else (found.runner_up is None)


@settings(deadline=None, max_examples=100)
@given(said=words(), diarization=diarizations())
def test_words_come_back_as_they_were(said: list[Word], diarization: Diarization) -> None:
    found = attribute(said, diarization)
    assert [one.word for one in found] == said
    for one in found:
        assert one.spoken.clip(one.word.span) == one.spoken
        assert one.spoken.duration_ms == min(one.word.span.duration_ms, plausible_ms(one.word.text))
        assert one.spoken.start_ms == one.word.span.start_ms or one.spoken.end_ms == one.word.span.end_ms


@settings(deadline=None, max_examples=25)
@given(said=words(), diarization=diarizations())
def test_evidence_is_what_counting_milliseconds_gives(said: list[Word], diarization: Diarization) -> None:
    for found in attribute(said, diarization):
        if found.speaker is not None and found.spoken.duration_ms:
            theirs = [turn for turn in diarization.exclusive if turn.speaker == found.speaker]
            assert found.overlap_share == covered_ms(found.spoken, theirs) / found.spoken.duration_ms
        at_once = max(
            (
                len({turn.speaker for turn in diarization.turns if turn.span.start_ms <= ms < turn.span.end_ms})
                for ms in range(found.spoken.start_ms, found.spoken.end_ms)
            ),
            default=0,
        )
        assert found.overlapped == (at_once > 1)


@settings(deadline=None, max_examples=40)
@given(said=words(), diarization=diarizations(), by_ms=st.integers(1, 10**7))
def test_only_relative_times_matter(said: list[Word], diarization: Diarization, by_ms: int) -> None:
    def later(at: Span) -> Span:
        return span(at.start_ms + by_ms, at.end_ms + by_ms)

    moved = Diarization(
        turns=tuple(replace(turn, span=later(turn.span)) for turn in diarization.turns),
        exclusive=tuple(replace(turn, span=later(turn.span)) for turn in diarization.exclusive),
    )
    assert speakers([replace(one, span=later(one.span)) for one in said], moved) == speakers(said, diarization)


@settings(deadline=None, max_examples=40)
@given(said=words())
def test_without_turns_words_have_no_speaker(said: list[Word]) -> None:
    for found in attribute(said, alone()):
        assert (found.speaker, found.overlap_share, found.runner_up, found.overlapped) == (None, 0.0, None, False)


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_without_faults_every_speaker_gets_their_words(data: st.DataObject) -> None:
    said: list[Word] = []
    turns: list[Turn] = []
    now = 0
    for _ in range(data.draw(st.integers(1, 8))):
        start = now
        for _ in range(data.draw(st.integers(1, 4))):
            end = now + data.draw(st.integers(150, 500))
            said.append(word(data.draw(st.sampled_from(("yes", "maybe", "house"))), now, end))
            now = end
        others = [name for name in "ABC" if not turns or name != turns[-1].speaker]
        turns.append(turn(data.draw(st.sampled_from(others)), start, now))
        now += data.draw(st.integers(0, 1_000))
    truth = [next(turn.speaker for turn in turns if turn.span.overlap_ms(one.span)) for one in said]
    assert speakers(said, alone(*turns)) == truth


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_a_single_word_goes_to_the_largest_overlap_else_to_the_nearest_edge(data: st.DataObject) -> None:
    one = word("extraordinary", 5_000, data.draw(st.integers(5_000, 6_000)))
    # turns long enough for it not to matter which of them loses a word
    first = turn("A", 0, data.draw(st.integers(4_000, 6_000)))
    second = turn("B", data.draw(st.integers(first.span.end_ms, 7_000)), 12_000)
    second = replace(second, span=replace(second.span, end_ms=second.span.start_ms + first.span.duration_ms))
    claims = [(t.span.overlap_ms(one.span), -t.span.gap_ms(one.span)) for t in (first, second)]
    assume(max(claims)[1] >= -REACH_MS and claims[0] != claims[1])
    assert speakers([one], alone(first, second)) == ["A" if claims[0] > claims[1] else "B"]


def test_a_yes_with_a_turn_of_its_own_keeps_its_speaker() -> None:
    said = [word("then", 0, 300), word("we", 300, 500), word("yes.", 650, 850), word("went", 1_000, 1_300)]
    said.append(word("home.", 1_300, 1_700))
    assert speakers(said, alone(turn("A", 0, 520), turn("B", 640, 880), turn("A", 990, 1_800))) == list("AABAA")


def test_a_word_cut_off_by_the_edge_of_a_turn_stays_with_its_sentence() -> None:
    said = [word("Are", 0, 200), word("you", 200, 400), word("in?", 400, 700)]
    said += [word("I", 800, 950), word("think", 950, 1_300), word("so.", 1_300, 1_700)]
    assert speakers(said, alone(turn("A", 0, 990), turn("B", 990, 1_700))) == list("AAABBB")


def test_without_punctuation_a_change_is_put_where_there_is_a_pause() -> None:
    said = [word("in", 4_000, 4_400), word("i", 4_700, 4_760), word("think", 4_760, 5_100), word("so", 5_100, 5_700)]
    assert speakers(said, alone(turn("A", 0, 4_765), turn("B", 4_765, 9_000))) == list("ABBB")


def test_the_first_word_of_a_turn_is_its_speakers_also_without_a_full_stop_before_it() -> None:
    said = [word("Yes.", 0, 400), word("They", 700, 900), word("are", 900, 1_000), word("nice", 1_000, 1_400)]
    said += [word("It", 2_700, 2_950), word("was", 2_950, 3_100), word("here", 3_100, 3_400)]
    # A breathes in, or laughs, before B begins
    turns = alone(turn("A", 0, 1_450), turn("A", 2_570, 2_820), turn("B", 2_820, 6_000))
    assert speakers(said, turns) == list("AAAABBB")


def test_a_turn_too_short_for_a_word_has_none() -> None:
    said = [word("unusual?", 42_100, 42_640), word("It", 43_224, 43_828), word("was", 43_828, 43_928)]
    turns = alone(turn("A", 38_700, 43_000), turn("A", 43_670, 43_703), turn("B", 43_703, 51_000))
    assert speakers(said, turns) == list("ABB")


@settings(deadline=None, max_examples=100)
@given(
    after=words(),
    pause_ms=st.integers(HESITATION_MS + MID_SENTENCE_MS, 5_000),
    edges=st.lists(st.integers(-400, 400), min_size=2, max_size=2).map(sorted),
)
def test_a_long_pause_counts_as_a_full_stop(after: list[Word], pause_ms: int, edges: list[int]) -> None:
    begin = 2_000 + pause_ms
    first, second = (begin + edge for edge in edges)
    turns = alone(turn("A", 0, 2_000), turn("A", first, second), turn("B", second, 60_000))

    def speakers_with(last: str) -> list[str | None]:
        said = [
            word("Yes.", 0, 400),
            word("They", 700, 1_600),
            word(last, 1_600, 2_000),
            word("It", begin, begin + 250),
        ]
        by_ms = begin + 250
        said += [replace(one, span=span(one.span.start_ms + by_ms, one.span.end_ms + by_ms)) for one in after]
        return speakers(said, turns)

    assert speakers_with("came") == speakers_with("came.")


def test_a_stretched_word_is_placed_at_the_end_where_someone_speaks() -> None:
    turns = alone(turn("A", 0, 1_000), turn("B", 4_800, 8_000))
    before, after = attribute([word("well", 700, 4_700), word("so", 1_200, 5_000)], turns)
    assert (before.speaker, before.spoken) == ("A", span(700, 1_400))
    assert (after.speaker, after.spoken) == ("B", span(4_500, 5_000))


def test_the_edge_of_a_long_turn_is_nearer_than_the_middle_of_a_short_one() -> None:
    turns = alone(turn("A", 0, 10_000), turn("B", 10_700, 11_000))
    assert speakers([word("so", 10_100, 10_300)], turns) == ["A"]
    assert speakers([word("so", 20_000, 20_300)], turns) == [None]


def test_exclusive_turns_decide_during_overlapped_speech() -> None:
    regular = (turn("A", 0, 3_000), turn("B", 1_000, 4_000))
    exclusive = (turn("A", 0, 1_000), turn("B", 1_000, 4_000))
    [found] = attribute([word("really", 1_500, 2_000)], Diarization(turns=regular, exclusive=exclusive))
    assert (found.speaker, found.runner_up, found.overlapped, found.overlap_share) == ("B", "A", True, 1.0)


def test_synthetic_conversations_are_attributed_better_than_by_common_rules() -> None:
    conditions = {condition.name: condition for condition in CONDITIONS}
    *_, clean = measure(100, conditions["clean"], conversations=6)
    assert clean.errors["ours"] == 0.0
    *_, faulty = measure(100, conditions["all"], conversations=6)
    assert faulty.ratio is not None
    assert faulty.ratio < 0.8
    assert faulty.deserted == 0
