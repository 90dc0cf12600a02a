"""The measure itself: small cases worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.accuracy import chosen, measured, report
from bench.der import diarization_errors
from bench.figures import ALL, CONVERSATIONS, ENGLISH, Figure, figures, in_short, table, verdicts
from bench.hypotheses import Hypothesis, HypothesisFile, HypothesisKey, HypothesisWord
from bench.labelled import Recording, Said, read_labelled
from bench.normalisation import normalised
from bench.scoring import score, word_offsets
from bench.speechless import SECONDS, speechless
from bench.systems import AUTO, GIVEN, OURS, SEQUENTIAL, STOCK, Product
from scripts.miniatures.conversations import read_truth
from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.core.diarization import Turn
from sensory_pipeline.core.spans import Span
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests import places
from sensory_pipeline_tests.stock_pyannote import MINIATURE_CLASSES

MINIATURES = places.DATA / "miniatures"


def turn(start_ms: int, end_ms: int, speaker: str) -> Turn:
    return Turn(span=Span(start_ms=start_ms, end_ms=end_ms), speaker=speaker)


def recording(text: str, *, name: str = "set/one.wav", language: str = "en", **more: object) -> Recording:
    return Recording(
        name=name,
        file=Path(name),
        group=name.partition("/")[0],
        duration_s=36,
        channels=1,
        language=language,
        text=text,
        **more,  # type: ignore[arg-type]
    )


def conversation(*said: tuple[str, str]) -> Recording:
    """Every word takes 0.5 s; utterances follow each other without a gap."""
    utterances: list[Said] = []
    for speaker, text in said:
        start_ms = utterances[-1].span.end_ms if utterances else 0
        span = Span(start_ms=start_ms, end_ms=start_ms + 500 * len(text.split()))
        utterances.append(Said(text=text, span=span, speaker=speaker))
    return recording(
        " ".join(text for _, text in said),
        utterances=tuple(utterances),
        turns=tuple(Turn(span=said.span, speaker=said.speaker) for said in utterances),
    )


def heard(*said: tuple[str | None, str], by_overlap: str | None = None, turns: tuple[Turn, ...] = ()) -> Hypothesis:
    """Every word takes 0.5 s, one after the other."""
    words = [(speaker, word) for speaker, text in said for word in text.split()]
    return Hypothesis(
        text=" ".join(word for _, word in words),
        language="en",
        words=tuple(
            HypothesisWord(
                text=word,
                span=Span(start_ms=500 * i, end_ms=500 * i + 500),
                speaker=speaker,
                by_overlap=by_overlap,
            )
            for i, (speaker, word) in enumerate(words)
        ),
        turns=turns,
    )


TALK = conversation(("A", "Good morning, how are you?"), ("B", "Very well."))


def test_perfect_under_other_names() -> None:
    turns = (turn(0, 2500, "SPEAKER_00"), turn(2500, 3500, "SPEAKER_01"))
    found = score(TALK, heard(("SPEAKER_00", "good morning how are you"), ("SPEAKER_01", "very well"), turns=turns))
    names = ("WER", "CER", "DER", "DER, collar 0.25 s", "cpWER", "tcpWER", "speaker count", "language")
    assert {name: found.rates[name].errors for name in names} == dict.fromkeys(names, 0)
    assert (found.rates["WER"].of, found.rates["cpWER"].of, found.rates["DER"].of) == (7, 7, 3500)


def test_words_substituted_missing_and_added() -> None:
    # "are" is missing, "well" is another word, "um" is no word, "now" is added
    found = score(
        recording("Good morning, how are you? Very well."), heard((None, "good morning how you um very wall now"))
    )
    assert (found.rates["WER"].errors, found.rates["WER"].of) == (3, 7)
    # " are", e for a, " now", of "good morning how are you very well"
    assert (found.rates["CER"].errors, found.rates["CER"].of) == (9, 34)
    assert set(found.rates) == {"WER", "CER", "language"}


def test_an_empty_hypothesis_has_no_words_right() -> None:
    found = score(TALK, Hypothesis(text="", words=(), turns=()))
    assert {name: found.rates[name].value for name in ("WER", "CER", "DER", "cpWER", "tcpWER")} == dict.fromkeys(
        ("WER", "CER", "DER", "cpWER", "tcpWER"), 1
    )
    assert found.rates["speaker count"].errors == 2
    assert found.rates["language"].errors == 1


def test_words_of_the_wrong_speaker_are_wrong_twice() -> None:
    # missing for one, too much for the other
    hypothesis = heard(
        ("X", "good morning how are you very"), ("Y", "well"), by_overlap="X", turns=(turn(0, 3500, "X"),)
    )
    rates = score(TALK, hypothesis).rates
    assert (rates["WER"].errors, rates["cpWER"].errors, rates["tcpWER"].errors) == (0, 2, 2)
    assert rates["cpWER, speakers as WhisperX"].errors == 4
    assert rates["speaker count"].errors == 1


def test_words_without_a_speaker_are_missing_and_superfluous() -> None:
    rates = score(TALK, heard(("X", "good morning how are you"), (None, "very well"), by_overlap="X")).rates
    assert rates["cpWER"].errors == 0  # where one speaker too few was found they pass for the other's
    three = conversation(("A", "good morning"), ("B", "very well"))
    rates = score(three, heard(("X", "good"), (None, "morning"), ("Y", "very well"))).rates
    assert rates["cpWER"].errors == 2


def test_words_far_from_their_time_are_wrong() -> None:
    late = Hypothesis(
        text="hello",
        words=(HypothesisWord(text="hello", span=Span(start_ms=9_000, end_ms=9_400), speaker="X"),),
        turns=(turn(9_000, 9_400, "X"),),
    )
    rates = score(conversation(("A", "hello")), late).rates
    assert (rates["cpWER"].errors, rates["tcpWER"].errors) == (0, 2)


def test_words_in_silence_are_counted_by_the_hour() -> None:
    (rate,) = score(recording(""), heard((None, "thank you"))).rates.values()
    assert rate.value == pytest.approx(200)


def test_starts_and_ends_of_right_words() -> None:
    said = [
        Said(text=text, span=Span(start_ms=ms, end_ms=ms + 200), speaker="A")
        for text, ms in (("Mm", 0), ("yes", 500), ("no", 900))
    ]
    found = [
        HypothesisWord(text="Yes,", span=Span(start_ms=470, end_ms=710)),
        HypothesisWord(text="so", span=Span(start_ms=900, end_ms=1100)),
    ]
    assert word_offsets(said, found, "en") == {"word starts, ms": [30], "word ends, ms": [10]}


def test_text_is_compared_as_its_language_is_written() -> None:
    assert normalised("It's 20 dollars; colour.", "en") == normalised("it is twenty dollars color", "en")
    assert normalised("हिन्दी में।", "hi") == "हिन्दी में"
    assert normalised("مَنْ", "ar") == "من"
    assert normalised("Où été?", "fr") == "où été"
    rates = score(recording("我喜欢茶。", language="zh"), Hypothesis(text="我喜欢茶", language="zh")).rates
    assert (rates["WER"].errors, rates["WER"].of, rates["CER"].of) == (0, 4, 4)


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
    errors = diarization_errors([turn(1000, 3000, "A")], [turn(700, 2700, "x")], collar_ms=250)
    assert (errors.speech_ms, errors.false_alarm_ms, errors.missed_ms) == (1500, 50, 50)


def test_diarization_errors_without_speech() -> None:
    assert diarization_errors([], [turn(0, 300, "x")], collar_ms=0).errors_ms == 300
    assert diarization_errors([], [], collar_ms=0).errors_ms == 0


def test_reads_a_labelled_folder(tmp_path: Path) -> None:
    folder = tmp_path / "labelled"
    for name in ("read", "calls", "talks"):
        (folder / name).mkdir(parents=True)
    (folder / "INDEX.tsv").write_text(
        "path\tseconds\trate\tchannels\tlanguage\tspeakers\ttranscript\tsource\tlicence\n"
        'read/a.mp3\t2.5\t48000\t1\tzh-CN\tCV-1\t他说"好"\tCommon Voice\tCC0-1.0\n'
        "calls/b.wav\t4.0\t8000\t2\ten\tX,Y\t\tmade\tCC BY 4.0\n"
    )
    (folder / "calls" / "b.stm").write_text("b 2 Y 1.50 2.00 so do i\nb 1 X 0.30 1.40 i like it\n")
    (folder / "calls" / "b.rttm").write_text("SPEAKER b 1 0.300 1.100 <NA> <NA> X <NA> <NA>\n")
    (folder / "talks" / "c.stm").write_text("c 1 Z 0.00 0.40 Hello.\n")
    (folder / "talks" / "c.ctm").write_text("c 1 0.05 0.30 Hello Z\n")
    (folder / "talks" / "c.uem").write_text("c 1 0.000 30.000\n")
    call, read, talk = read_labelled(folder)
    assert (read.language, read.text, read.duration_s, read.turns) == ("zh", '他说"好"', 2.5, ())
    assert read.file == folder / "read" / "a.mp3"
    assert (call.channels, call.text) == (2, "i like it so do i")
    assert call.turns == (turn(300, 1400, "X"),)
    assert [(said.speaker, said.span.start_ms) for said in call.utterances] == [("X", 300), ("Y", 1500)]
    assert (talk.name, talk.file, talk.duration_s) == ("talks/c", tmp_path / "talks_c.flac", 30)
    assert talk.words == (Said(text="Hello", span=Span(start_ms=50, end_ms=350), speaker="Z"),)


def test_a_folder_without_an_index(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_labelled(tmp_path)


def test_the_number_of_each_set_and_language_is_limited() -> None:
    some = [
        recording("a", name=f"{group}/{i}", language=language)
        for group in "xy"
        for language in ("en", "de")
        for i in range(3)
    ]
    assert len(chosen(some, sets=None, limit=2)) == 8
    assert {one.group for one in chosen(some, sets=["x"], limit=None)} == {"x"}


def test_nobody_speaks_for_ten_minutes(tmp_path: Path) -> None:
    made = speechless(tmp_path)
    assert sum(one.duration_s for one in made) == 600
    loudest = {one.name: int(abs(decode(one.file, max_duration_s=SECONDS + 1).pcm.samples).max()) for one in made}
    assert [name for name, most in loudest.items() if not most] == ["speechless/silence"]
    assert max(loudest.values()) < 32767


class Scripted:
    """A System that returns a given text, and counts its calls."""

    name = OURS

    def __init__(self, text: str, languages: Sequence[str] = (AUTO, GIVEN)) -> None:
        self._text = text
        self.languages = languages
        self.calls = 0

    def hears(self, recording: Recording) -> bool:
        return recording.language != "xx"

    def lacks(self) -> str | None:
        return None

    def hypothesis(self, recording: Recording, language: str) -> Hypothesis:
        self.calls += 1
        return Hypothesis(text=self._text, language="en")


def test_hypotheses_are_stored(tmp_path: Path) -> None:
    system = Scripted("hello")
    some = [recording("hello there"), recording("hello", name="set/two.wav"), recording("a", language="xx")]
    first = list(measured([system], some, [AUTO, GIVEN], HypothesisFile(tmp_path / "hypotheses.jsonl")))
    again = list(measured([system], some, [AUTO, GIVEN], HypothesisFile(tmp_path / "hypotheses.jsonl")))
    assert (system.calls, len(first), again) == (4, 4, first)


def test_a_hypothesis_can_be_stored_and_read(tmp_path: Path) -> None:
    hypothesis = heard(("X", "été"), (None, "now"), turns=(turn(0, 500, "X"),))
    key = HypothesisKey(system=OURS, language=AUTO, recording="one")
    HypothesisFile(tmp_path / "a").hypothesis(key, lambda: hypothesis)
    assert HypothesisFile(tmp_path / "a").hypothesis(key, lambda: Hypothesis()) == hypothesis


def test_figures_are_rates_of_sums() -> None:
    some = [recording("red blue green black"), recording("weiss", language="de"), recording("", name="speechless/x")]
    found = figures(list(measured([Scripted("red blue green")], some, [AUTO], HypothesisFile(None))))
    wer = {figure.group: figure for figure in found if figure.measure == "WER"}
    expected = {"set, en": 1 / 4, "set, de": 3, "set, not English": 3, ENGLISH: 1 / 4, ALL: 4 / 5}
    assert {group: figure.value for group, figure in wer.items()} == expected
    assert wer[ALL].shown == "80.0"
    assert table(found).row_count == len(found)
    assert {figure.group for figure in found if figure.measure == "false words"} == {"speechless"}
    assert {figure.group for figure in in_short(found)} == {"set, en", "set, not English", ENGLISH, ALL, "speechless"}


def figure(measure: str, group: str, system: str, value: float, *, language: str = AUTO) -> Figure:
    return Figure(
        measure=measure, group=group, language=language, system=system, recordings=1, value=value, errors=value, of=1
    )


@pytest.mark.parametrize(("ours", "met"), [(0.1, True), (0.103, True), (0.104, False)])
def test_words_may_be_a_little_worse(ours: float, met: bool) -> None:
    found = [figure("WER", ALL, OURS, ours, language=GIVEN), figure("WER", ALL, SEQUENTIAL, 0.1, language=GIVEN)]
    (verdict,) = verdicts(found)
    assert verdict.met == met


@pytest.mark.parametrize(
    ("measure", "theirs", "allowed"),
    [("DER", STOCK, 0.01), ("DER, collar 0.25 s", STOCK, 0.01), ("cpWER, speakers as WhisperX", OURS, 0)],
)
def test_speakers_may_not(measure: str, theirs: str, allowed: float) -> None:
    own = "cpWER" if measure.startswith("cpWER") else measure
    for excess, met in ((0.0, True), (0.001, False)):
        ours = figure(own, CONVERSATIONS, OURS, 0.2 + allowed + excess)
        (verdict,) = verdicts([ours, figure(measure, CONVERSATIONS, theirs, 0.2)])
        assert verdict.met == met


@pytest.mark.parametrize(("measure", "group"), [("WER", "JFK"), ("false words", "speechless")])
def test_not_one_word_may_be_wrong(measure: str, group: str) -> None:
    assert [v.met for value in (0, 1) for v in verdicts([figure(measure, group, OURS, value)])] == [True, False]


def test_what_was_not_measured_is_not_judged() -> None:
    assert verdicts([figure("WER", ALL, OURS, 0.9), figure("DER", CONVERSATIONS, OURS, 0.9)]) == []
    some, others = (replace(figure("DER", CONVERSATIONS, name, 0.9), of=of) for name, of in ((OURS, 9), (STOCK, 7)))
    assert verdicts([some, others]) == []


def test_the_report_names_machine_versions_and_recordings() -> None:
    made = report(
        list(measured([Scripted("hello")], [recording("hello there")], [AUTO], HypothesisFile(None))), whisper="x"
    )
    assert made["versions"]["meeteval"]
    assert made["machine"]["cores"] >= 1
    assert made["recordings"][0]["WER"] == [1, 2]


def test_the_product_returns_a_hypothesis() -> None:
    """With the tests' miniature models."""
    for package in ("pyannote.audio", "torch"):
        pytest.importorskip(package, reason=f"{package} is not installed: make models")
    models = {
        "whisper_model_size": str(MINIATURES / "whisper"),
        "clip_s": 4,  # it was trained on short ones
        "diarization": "pyannote",
        "pyannote_model": str(MINIATURES / "pyannote"),
        "pyannote_trusted_classes": MINIATURE_CLASSES,
    }
    file = MINIATURES / "conversations" / "russian-two.flac"
    truth = read_truth(file)
    talk = Recording(
        name="talks/russian-two",
        file=file,
        group="talks",
        duration_s=30,
        channels=1,
        language="ru",
        text=truth.text,
        utterances=tuple(
            Said(
                text=" ".join(word.text for word in one.words),
                span=Span.from_seconds(one.start_s, one.end_s),
                speaker=one.speaker,
            )
            for one in truth.turns
        ),
        turns=tuple(Turn(span=Span.from_seconds(one.start_s, one.end_s), speaker=one.speaker) for one in truth.turns),
    )
    product = Product(settings=Settings().model_copy(update=models))
    told = score(talk, product.hypothesis(talk, AUTO)).rates
    assert told["language"].errors == 0
    assert all((told[name].value or 0) <= 0.3 for name in ("WER", "DER", "cpWER", "tcpWER")), told
