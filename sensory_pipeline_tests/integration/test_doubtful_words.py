"""Words that nobody said: which they are, where they are marked, and where they are left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.core.attribution import attribute
from sensory_pipeline.core.channels import attribute_channels, channel_diarization, merged_transcript
from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.doubtful_words import mark_doubtful
from sensory_pipeline.core.errors import Terminal
from sensory_pipeline.core.formats import json, text
from sensory_pipeline.core.process_request import ProcessRequest, Task, TranscriptionSettings
from sensory_pipeline.core.punctuation import join
from sensory_pipeline.core.results import AudioFacts, RecordingResult
from sensory_pipeline.core.sources import Source
from sensory_pipeline.core.spans import cover
from sensory_pipeline.core.transcripts import Segment, Transcript, Word
from sensory_pipeline.engines.base import TranscribeJob
from sensory_pipeline.engines.selection import Engines, chosen_engines
from sensory_pipeline.lake.invariants import violations
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.views import connect
from sensory_pipeline.processing.plans import make_plan
from sensory_pipeline.processing.setup import engine_choice
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests import places
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.engine_contract import SPEECH
from sensory_pipeline_tests.lakes import as_of_an_older_version, ingested, rows, tables
from sensory_pipeline_tests.strategies import alone, diarizations, span, turn, word, words
from sensory_pipeline_tests.trivial_engines import TrivialTranscriber, trivial

REAL = places.SAMPLES / "real"
AUDIO = AudioFacts(duration_ms=6000, codec="pcm_s16le", sample_rate=16_000, channels=1)
ALL = alone(turn("A", 0, 60_000))


def segment(said: str, start_ms: int = 0, *, probability: float = 0.9) -> Segment:
    """Its words, of 300 ms each."""
    found = tuple(
        replace(word(one, start_ms + 300 * i, start_ms + 300 * (i + 1)), probability=probability, space_before=True)
        for i, one in enumerate(said.split())
    )
    return Segment(span=cover(one.span for one in found), text=join(found), words=found)


def transcript(*segments: Segment) -> Transcript:
    return Transcript(language="en", segments=segments)


def doubtful(heard: Transcript, turns: Diarization | None = ALL) -> list[str]:
    found = mark_doubtful(attribute(heard.words, turns or alone()), heard, turns)
    assert [one.word for one in found] == list(heard.words)
    return [one.word.text for one in found if one.doubtful]


def test_a_word_without_a_turn_nearby() -> None:
    heard = transcript(segment("So first of all", 5_000), segment("Can you", 9_000))
    assert doubtful(heard, alone(turn("A", 8_800, 9_700))) == ["So", "first", "of", "all"]
    assert doubtful(heard, alone()) == ["So", "first", "of", "all", "Can", "you"]


def test_without_diarization_no_word_is_doubtful_for_lack_of_a_turn() -> None:
    assert doubtful(transcript(segment("So first of all")), None) == []


def test_a_word_without_a_turn_on_its_channel() -> None:
    merged = merged_transcript([transcript(segment("Well then")), transcript(segment("Hm yes", 4_000))])
    found = channel_diarization([[span(0, 5_000)], []])
    said = mark_doubtful(attribute_channels(merged.words, found), merged, found)
    assert [(one.word.text, one.doubtful) for one in said] == [
        ("Well", False), ("then", False), ("Hm", True), ("yes", True)
    ]  # fmt: skip


def test_marks_that_go_with_no_word() -> None:
    assert doubtful(transcript(segment("- - - - But she said"), segment("♪ ♪", 4_000))) == [
        "-",
        "-",
        "-",
        "-",
        "♪",
        "♪",
    ]
    assert doubtful(transcript(segment("..."))) == ["..."]


def test_a_dash_between_words_is_punctuation() -> None:
    assert doubtful(transcript(segment("Москва — столица"), segment("– Да, конечно."), segment("R & B"))) == []


def test_words_of_low_probability() -> None:
    assert doubtful(transcript(segment("Ni'n a'ch bwllwfth", probability=0.39))) == ["Ni'n", "a'ch", "bwllwfth"]
    assert doubtful(transcript(segment("I don't know", probability=0.41))) == []
    good = segment("he is the reciter")
    unsure = replace(good.words[0], probability=0.14)
    assert doubtful(transcript(replace(good, words=(unsure, *good.words[1:])))) == ["he"]


def test_known_hallucinations_need_a_second_sign() -> None:
    assert doubtful(transcript(segment("Thanks for watching!", probability=0.95))) == []
    assert doubtful(transcript(segment("Thanks for watching!", probability=0.65))) == ["Thanks", "for", "watching!"]
    assert doubtful(transcript(segment("Thanks for watching them.", probability=0.65))) == []
    # within reach, but outside the turns
    beside = alone(turn("A", 700, 3_000))
    assert len(doubtful(transcript(segment("Субтитры сделал DimaTorzok", probability=0.95)), beside)) == 3
    assert doubtful(transcript(segment("Я сделал это", probability=0.95)), beside) == []


@given(words(), diarizations())
def test_every_word_is_judged_once_and_those_without_a_speaker_are_doubtful(
    said: list[Word], turns: Diarization
) -> None:
    halves = [said[: len(said) // 2], said[len(said) // 2 :]]
    heard = transcript(*(Segment(span=cover(w.span for w in h), text=join(h), words=tuple(h)) for h in halves if h))
    before = attribute(said, turns)
    after = mark_doubtful(before, heard, turns)
    assert tuple(replace(one, doubtful=False) for one in after) == before
    assert all(one.doubtful for one in after if one.speaker is None)
    sure = [one for one in after if one.speaker is not None and any(map(str.isalnum, one.word.text))]
    assert not any(one.doubtful for one in sure)  # their probability is 1


@given(st.text(alphabet="abc -–…♪.", max_size=30), st.floats(0, 1))
def test_any_text_is_judged(said: str, probability: float) -> None:
    if said.split():
        found = doubtful(transcript(segment(said, probability=probability)))
        assert found == said.split() if probability < 0.15 else set(found) <= set(said.split())


HEARD = transcript(segment("Good morning."), segment("So first of all", 2_000), segment("Bye", 4_000))
TURNS = alone(turn("A", 0, 700), turn("A", 3_900, 4_500))


def result(*, drop: bool) -> RecordingResult:
    return RecordingResult(audio=AUDIO, transcript=HEARD, diarization=TURNS, emotions=None, drop_doubtful=drop)


def test_json_marks_only_doubtful_words() -> None:
    found = json.document(result(drop=False), frozenset(Task))["tra"]
    said = [(one["word"], one.get("doubtful")) for part in found["segments"] for one in part["words"]]
    assert said == [("Good", None), ("morning.", None), *((w, True) for w in "So first of all".split()), ("Bye", None)]
    assert list(found["segments"][0]["words"][0]) == ["start", "end", "word", "probability", "speaker"]


def test_formats_leave_out_dropped_words() -> None:
    found = json.document(result(drop=True), frozenset(Task))["tra"]
    assert found["text"] == "Good morning. Bye"
    assert [part["text"] for part in found["segments"]] == ["Good morning.", "Bye"]
    assert "So first of all" in text.render(result(drop=False), frozenset(Task))
    assert text.render(result(drop=True), frozenset(Task)).splitlines() == [
        "[00:00.00 - 00:00.60] A: Good morning.",
        "[00:04.00 - 00:04.30] A: Bye",
    ]


def test_a_segment_keeps_the_remaining_words() -> None:
    part = segment("- - But she said")
    kept = RecordingResult(
        audio=AUDIO, transcript=transcript(part), diarization=None, emotions=None, drop_doubtful=True
    ).reported_transcript
    assert kept is not None
    (told,) = kept.segments
    assert (told.text, told.span, len(told.words)) == ("But she said", span(600, 1_500), 3)


class InventingTranscriber(TrivialTranscriber):
    """After the recording's length, "..." and a word of which it is not sure."""

    def _answers(self, batch: list[TranscribeJob]) -> Iterator[tuple[str, Transcript | Terminal]]:
        for key, answer in super()._answers(batch):
            assert isinstance(answer, Transcript)
            (said,) = answer.segments
            invented = segment("... mumble", probability=0.1)
            yield key, replace(answer, segments=(said, invented))


def inventing() -> Engines:
    return replace(trivial(), transcriber=InventingTranscriber())


def test_dropped_words_stay_in_the_words_table(tmp_path: Path) -> None:
    folder, lake = tmp_path / "in", tmp_path / "lake"
    for name in ("kept/a.wav", "dropped/b.wav"):
        tone(folder / name, 900)
    dropped = Source(uri=str(folder / "dropped"), drop_doubtful=True)
    report = ingested(folder, lake, engines=inventing, shards=1, workers=1, sources=(dropped,), emo_level="word")
    assert (report.published, report.failed) == (2, 0)
    told = "SELECT w.name, w.text, w.doubtful, w.utterance, s.text FROM words w JOIN segments s USING (name, segment)"
    assert rows(lake, f"{told} ORDER BY w.name, word") == [
        ("a.wav", "900", False, 0, "900"),
        ("a.wav", "...", True, 0, "... mumble"),
        ("a.wav", "mumble", True, 0, "... mumble"),
        ("b.wav", "900", False, 0, "900"),
        ("b.wav", "...", True, None, ""),
        ("b.wav", "mumble", True, None, ""),
    ]
    assert rows(lake, "SELECT name, text, words, emotion FROM utterances ORDER BY name") == [
        ("a.wav", "900 ... mumble", 3, "neutral"),
        ("b.wav", "900", 1, "neutral"),
    ]
    counts = "SELECT r.name, r.words, s.words, count(*) FROM recordings r JOIN speakers s USING (name)"
    counts += " JOIN emotions USING (name) GROUP BY ALL ORDER BY ALL"
    assert rows(lake, counts) == [("a.wav", 3, 3, 3), ("b.wav", 3, 1, 1)]
    with connect(Lake.open(lake)) as db:
        assert violations(db) == {}


def test_dropping_words_redoes_emotions_and_nothing_else(tmp_path: Path) -> None:
    folder, lake = tmp_path / "in", tmp_path / "lake"
    tone(folder / "a.wav", 900)
    ingested(folder, lake, engines=inventing, shards=1, workers=1)
    report = ingested(folder, lake, engines=inventing, shards=1, workers=1, drop_doubtful=True)
    assert report.published == 1
    assert report.computed == {"normalized_audio": 0, "transcripts": 0, "diarization": 0, "emotions": 1}
    once = tables(lake)
    fresh = tmp_path / "fresh"
    ingested(folder, fresh, engines=inventing, shards=1, workers=1, drop_doubtful=True)
    assert once == tables(fresh)


def test_the_setting_enters_a_fingerprint_only_if_it_is_on() -> None:
    plain, dropping = (make_plan(ProcessRequest(drop_doubtful=drop), trivial()) for drop in (False, True))
    same = {stage.value for stage in plain.stages if plain.stages[stage] == dropping.stages[stage]}
    assert same == {"normalized_audio", "transcripts", "diarization"}
    assert plain.fingerprint != dropping.fingerprint


def test_words_of_an_older_version_have_no_mark(tmp_path: Path) -> None:
    tone(tmp_path / "in" / "a.wav", 900)
    ingested(tmp_path / "in", tmp_path / "lake", shards=1, workers=1)
    as_of_an_older_version(tmp_path / "lake", "words", ["doubtful"])
    assert rows(tmp_path / "lake", "SELECT text, utterance, doubtful FROM words") == [("900", 0, None)]
    with connect(Lake.open(tmp_path / "lake")) as db:
        assert violations(db) == {}


@pytest.mark.usefixtures("real_models")
def test_real_speech_is_not_doubtful_and_reversed_speech_is() -> None:
    """An English model makes English of anything."""
    engines = chosen_engines(engine_choice(Settings()))
    shares = {}
    for file in (SPEECH, REAL / "russian.mp3"):
        pcm = decode(file, max_duration_s=60).pcm
        job = TranscribeJob(key="a", pcm=pcm, settings=TranscriptionSettings(temperatures=(0.0,)))
        ((_, heard),) = engines.transcriber.transcribe([job])
        assert isinstance(heard, Transcript)
        found = RecordingResult(audio=AUDIO, transcript=heard, diarization=None, emotions=None).words
        shares[file.stem] = sum(one.doubtful for one in found) / len(found)
    assert shares[SPEECH.stem] == 0
    assert shares["russian"] > 0
