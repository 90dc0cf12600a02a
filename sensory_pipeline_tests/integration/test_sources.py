"""Settings that differ from source to source: declared in a file, applied to each recording."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from sensory_pipeline.core.errors import ConfigurationError, UnsupportedLanguage
from sensory_pipeline.core.sources import Source
from sensory_pipeline.processing.setup import current_plans, engine_choice
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests import places
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.command import invoked
from sensory_pipeline_tests.encoded_audio import ENCODINGS, Recorded, recorded
from sensory_pipeline_tests.lakes import ingested, rows

MINIATURES = places.DATA / "miniatures"


def test_a_file_declares_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of docs/sources.md."""
    page = (places.ROOT / "docs" / "sources.md").read_text()
    (tmp_path / "sources.yaml").write_text(page.partition("```yaml\n")[2].partition("```")[0])
    monkeypatch.setenv("SENSORY_SOURCES", "sources.yaml")
    monkeypatch.setenv("SENSORY_BEAM_SIZE", "3")
    settings = Settings()
    plain, calls, inbound, board = (settings.of(source) for source in settings.sources)
    assert plain.request() == settings.request()
    assert (calls.language, calls.speakers, calls.beam_size) == ("de", 2, 3)
    assert (inbound.language, inbound.stereo, engine_choice(inbound).diarization) == ("auto", True, "onnx")
    assert (board.min_speakers, board.max_speakers, board.emo_level) == (3, 12, "word")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("nowhere.yaml", "SENSORY_SOURCES is 'nowhere.yaml': it is neither a list nor a file that can be read"),
        ("[{uri: a, langage: de}]", "SENSORY_SOURCES[0].langage is 'de': there is no such setting"),
        ("[a, {uri: b, speakers: 0}]", "SENSORY_SOURCES[1].speakers is 0: it should be greater than or equal to 1"),
        ("[a, 5]", "SENSORY_SOURCES[1] is 5: write a folder, s3://bucket/prefix, or a mapping that has one as its uri"),
        ("[{language: de}]", "SENSORY_SOURCES[0].uri is {'language': 'de'}: Field required"),
        ("[{uri: a, speakers: 2, min_speakers: 1}]", "give either the exact number of speakers or a range, not both"),
        ("[a: b: c]", "it is not valid YAML"),
        ("[{uri: a, language: english}, b]", "SENSORY_SOURCES[0].language is 'english': write en, the ISO 639-1 code"),
        ("[a, {uri: b, languages: [en, german]}]", "SENSORY_SOURCES[1].languages[1] is 'german': write de"),
    ],
)
def test_errors_in_it_are_named(given: str, told: str, tmp_path: Path) -> None:
    done = invoked("models", "list", cwd=tmp_path, SENSORY_SOURCES=given)
    assert done.returncode == 2
    assert told in done.stderr


def test_no_is_norwegian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sources.yaml").write_text("- {uri: a, language: no}\n- {uri: b, languages: [no, sv]}\n")
    monkeypatch.setenv("SENSORY_SOURCES", "sources.yaml")
    one, two = Settings().sources
    assert (one.language, two.languages) == ("no", ("no", "sv"))


def test_a_language_of_a_source_takes_no_candidates_from_elsewhere() -> None:
    settings = Settings(languages=("en", "es"))
    assert settings.of(Source(uri="a", language="de")).request().tra.asked_languages == {"de"}
    german = Settings(language="de")
    assert german.of(Source(uri="a", languages=("en", "es"))).request().tra.asked_languages == {"en", "es"}


def test_settings_that_belong_together_are_replaced_together() -> None:
    settings = Settings(speakers=2, diarization="onnx")
    mine = settings.of(Source(uri="a", min_speakers=3, pyannote_model="open"))
    assert (mine.request().dia.speakers, mine.request().dia.min_speakers) == (None, 3)
    assert engine_choice(mine).diarization == "pyannote"


@pytest.mark.usefixtures("real_models")
def test_the_error_about_an_unsupported_language_names_the_source() -> None:
    with pytest.raises(UnsupportedLanguage, match=r"^s3://calls: whisper knows en only, not 'de'"):
        current_plans(Settings(sources=(Source(uri="s3://calls", language="de"),)))


def test_a_source_given_twice_is_refused(tmp_path: Path) -> None:
    twice = (Source(uri=str(tmp_path), speakers=1), Source(uri=f"{tmp_path}/in/../", speakers=2))
    with pytest.raises(ConfigurationError, match=r"in/\.\./ twice: give each folder or prefix once"):
        current_plans(Settings(sources=twice))


def test_no_setting_of_the_installation_belongs_to_a_source() -> None:
    with pytest.raises(ValidationError, match="lake"):
        Source.model_validate({"uri": "a", "lake": "b"})


def test_the_most_specific_source_decides_and_its_change_redoes_only_its_recordings(tmp_path: Path) -> None:
    folder, lake = tmp_path / "in", tmp_path / "lake"
    for index, name in enumerate(("plain.wav", "calls/call.wav", "calls/vip/vip.wav")):
        tone(folder / name, 600 + 10 * index)
    calls = Source(uri=str(folder / "calls"), speakers=2)
    vip = Source(uri=str(folder / "calls" / "vip"), language="en")
    assert ingested(folder, lake, shards=1, sources=(calls, vip)).published == 3
    assert settings_of(lake, "diarization", "speakers") == {"plain.wav": None, "call.wav": 2, "vip.wav": None}
    assert settings_of(lake, "transcripts", "language") == {"plain.wav": "auto", "call.wav": "auto", "vip.wav": "en"}
    assert ingested(folder, lake, shards=1, sources=(calls, vip)).runs == 0
    changed = ingested(folder, lake, shards=1, sources=(Source(uri=calls.uri, speakers=3), vip))
    assert (changed.registration.stale, changed.published) == (1, 1)
    assert changed.computed == {"normalized_audio": 0, "transcripts": 0, "diarization": 1, "emotions": 1}


def test_the_track_is_one_sources_own(tmp_path: Path) -> None:
    folder, lake = tmp_path / "in", tmp_path / "lake"
    opus = ENCODINGS["opus"]
    tracks = [Recorded(samples=np.full((1, length), 0.1), encoding=opus) for length in (48_000, 96_000)]
    for name in ("a.mkv", "second/b.mkv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(recorded(*tracks, container="matroska"))
    second = Source(uri=str(folder / "second"), track=2)
    assert ingested(folder, lake, sources=(second,)).published == 2
    found = rows(lake, "SELECT name, round(duration_s), track, remarks FROM recordings ORDER BY name")
    assert found == [("a.mkv", 1, 1, "track 1 of 2"), ("b.mkv", 2, 2, "track 2 of 2")]
    changed = ingested(folder, lake, sources=(Source(uri=second.uri, track=1),))
    assert changed.computed["normalized_audio"] == 1
    assert rows(lake, "SELECT DISTINCT track FROM recordings") == [(1,)]


def test_suffixes_decide_what_a_recording_is(tmp_path: Path) -> None:
    folder, lake = tmp_path / "in", tmp_path / "lake"
    for name in ("a.wav", "calls/b.wav", "calls/c.REC.WAV"):
        tone(folder / name, 600)
    report = ingested(folder, lake, sources=(Source(uri=str(folder / "calls"), suffixes=(".rec.wav",)),))
    assert report.published == 2
    assert rows(lake, "SELECT name FROM recordings ORDER BY name") == [("a.wav",), ("c.REC.WAV",)]


@pytest.mark.usefixtures("real_models")
def test_engines_differ_from_source_to_source_in_one_run(tmp_path: Path) -> None:
    folder, lake = tmp_path / "in", tmp_path / "lake"
    for name in ("a.wav", "whispered/b.wav", "stereo/c.wav"):
        tone(folder / name, 900)
    whispered = Source(uri=str(folder / "whispered"), whisper_model_size=str(MINIATURES / "whisper"), clip_s=4)
    stereo = Source(uri=str(folder / "stereo"), stereo=True)
    report = ingested(folder, lake, engines=None, shards=1, workers=1, sources=(whispered, stereo))
    assert (report.published, report.failed, report.runs, report.run_failures) == (3, 0, 1, [])
    models = dict(rows(lake, "SELECT name, engine || ' ' || model FROM stages WHERE stage = 'transcripts'"))
    tiny = "whisper Systran/faster-whisper-tiny.en"
    assert models == {"a.wav": tiny, "b.wav": "whisper whisper", "c.wav": tiny}
    engines = dict(rows(lake, "SELECT name, engine FROM stages WHERE stage = 'diarization'"))
    assert engines == {"a.wav": "onnx", "b.wav": "onnx", "c.wav": "channels"}


def settings_of(lake: Path, stage: str, setting: str) -> dict[str, object]:
    """The value of a setting in a stage, by the recording's name."""
    sql = "SELECT name, stage, settings FROM stages"
    return {name: json.loads(told)[setting] for name, of, told in rows(lake, sql) if of == stage}
