"""The whole chain through a real Dagster instance: what is done once, and what is done again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sensory_pipeline.core.errors import LakeMismatch
from sensory_pipeline.core.process_request import EmotionLevel
from sensory_pipeline_tests import places
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.lakes import data_files, ingested, rows, tables

FAULTS = places.SHARED / "audio" / "faults"
"""Inputs made from public reports of faults, if they are there."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    for index in range(4):
        tone(folder / f"sub{index % 2}" / f"{index}.wav", 500 + 10 * index)
    return folder


def test_a_folder_becomes_tables(source: Path, tmp_path: Path) -> None:
    report = ingested(source, tmp_path / "lake")
    assert (report.published, report.failed, report.pending) == (4, 0, 0)
    assert report.run_failures == []
    said = rows(tmp_path / "lake", "SELECT text, speaker, engine FROM words ORDER BY text")
    assert said == [(f"{500 + 10 * i}", "SPEAKER_00", "trivial") for i in range(4)]
    (count,) = rows(tmp_path / "lake", "SELECT count(*) FROM recordings WHERE status = 'ok' AND duration_s > 0.4")[0]
    assert count == 4


def test_second_ingest_does_nothing(source: Path, tmp_path: Path) -> None:
    ingested(source, tmp_path / "lake")
    before = data_files(tmp_path / "lake")
    report = ingested(source, tmp_path / "lake")
    assert (report.published, report.runs) == (0, 0)
    assert data_files(tmp_path / "lake") == before


def test_one_added_file_costs_one_recording(source: Path, tmp_path: Path) -> None:
    ingested(source, tmp_path / "lake")
    tone(source / "added.wav", 700)
    report = ingested(source, tmp_path / "lake")
    assert report.published == 1
    assert set(report.computed.values()) == {1}
    assert len(rows(tmp_path / "lake", "SELECT * FROM recordings")) == 5


@pytest.mark.usefixtures("ledger")
def test_a_changed_file_replaces_its_rows(source: Path, tmp_path: Path) -> None:
    ingested(source, tmp_path / "lake")
    tone(source / "sub0" / "0.wav", 900)
    report = ingested(source, tmp_path / "lake")
    assert (report.registration.changed, report.published) == (1, 1)
    said = [text for (text,) in rows(tmp_path / "lake", "SELECT text FROM words ORDER BY text")]
    assert said == ["510", "520", "530", "900"]


def test_a_changed_level_redoes_emotions_alone(source: Path, tmp_path: Path) -> None:
    ingested(source, tmp_path / "lake")
    report = ingested(source, tmp_path / "lake", emo_level=EmotionLevel.WORD)
    assert report.published == 4
    assert report.computed == {"normalized_audio": 0, "transcripts": 0, "diarization": 0, "emotions": 4}
    assert rows(tmp_path / "lake", "SELECT DISTINCT level FROM emotions") == [("word",)]


def test_a_missing_file_keeps_its_rows_and_blocks_no_other(source: Path, tmp_path: Path) -> None:
    ingested(source, tmp_path / "lake")
    (source / "sub0" / "0.wav").unlink()
    report = ingested(source, tmp_path / "lake")
    assert (report.missing, report.published, report.pending) == (1, 0, 0)
    # they are left out unless somebody asks for them
    assert len(rows(tmp_path / "lake", "SELECT * FROM words")) == 3
    assert rows(tmp_path / "lake", "SELECT name FROM recordings WHERE name = '0.wav' OR NOT present") == []
    kept = {"include_missing": True}
    assert len(rows(tmp_path / "lake", "SELECT * FROM words", **kept)) == 4
    assert rows(tmp_path / "lake", "SELECT name FROM recordings WHERE NOT present", **kept) == [("0.wav",)]


def test_a_link_to_nowhere_is_left_out(source: Path, tmp_path: Path) -> None:
    (source / "dangling.wav").symlink_to(tmp_path / "nowhere.wav")
    report = ingested(source, tmp_path / "lake")
    assert (report.registration.new, report.published) == (4, 4)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_stays_pending(source: Path, tmp_path: Path) -> None:
    (source / "sub0" / "0.wav").chmod(0)
    report = ingested(source, tmp_path / "lake")
    assert (report.published, report.pending) == (3, 1)


def test_every_bad_file_is_a_row(source: Path, tmp_path: Path) -> None:
    whole = (source / "sub0" / "0.wav").read_bytes()
    (source / "empty.wav").write_bytes(b"")
    (source / "text.wav").write_text("this is not sound\n" * 20)
    (source / "cut.wav").write_bytes(whole[: len(whole) // 2])
    report = ingested(source, tmp_path / "lake")
    assert (report.published, report.failed) == (7, 3)
    found = rows(
        tmp_path / "lake",
        "SELECT parse_filename(uri), error_class, length(error_message) > 10 FROM recordings"
        " WHERE status = 'failed' ORDER BY 1",
    )
    assert found == [
        ("cut.wav", "TruncatedAudio", True),
        ("empty.wav", "EmptyAudio", True),
        ("text.wav", "UnreadableAudio", True),
    ]
    assert len(rows(tmp_path / "lake", "SELECT * FROM words")) == 4
    assert ingested(source, tmp_path / "lake").published == 0


def test_a_damaged_recording_keeps_what_is_left_of_it(tmp_path: Path) -> None:
    whole = tone(tmp_path / "in" / "whole.wav", 4000).read_bytes()
    (tmp_path / "in" / "cut.wav").write_bytes(whole[: len(whole) // 2])
    report = ingested(tmp_path / "in", tmp_path / "lake")
    assert (report.published, report.failed, report.partial, report.run_failures) == (2, 0, 1, [])
    found = rows(
        tmp_path / "lake",
        "SELECT name, status, error_class, error_stage, duration_s, round(undecoded_s, 1), words"
        " FROM recordings ORDER BY name",
    )
    assert found == [
        ("cut.wav", "partial", "TruncatedAudio", "normalized_audio", pytest.approx(2, abs=0.01), 2.0, 1),
        ("whole.wav", "ok", None, None, 4.0, 0.0, 1),
    ]
    (why,) = rows(tmp_path / "lake", "SELECT error_message FROM recordings WHERE status = 'partial'")
    assert "damaged at 2.0 s" in why[0]
    assert ingested(tmp_path / "in", tmp_path / "lake", retry_failed=True).published == 0


def test_recordings_are_found_by_their_content(source: Path, tmp_path: Path) -> None:
    for name in ("call.rec", "no_suffix", "b.WAVE"):
        tone(source / name, 700)
    (source / "notes.txt").write_text("no sound\n" * 100)
    (source / "utf16").write_text("no sound\n" * 100, encoding="utf-16")
    (source / "picture.webp").write_bytes(b"RIFF\x24\x00\x00\x00WEBPVP8 " + bytes(100))
    (source / ".hidden").write_bytes(b"")
    (source / ".trash").mkdir()
    elsewhere = tmp_path / "elsewhere"
    tone(elsewhere / "linked.wav", 800)
    (source / "link").symlink_to(elsewhere)
    (source / "linked.wav").symlink_to(elsewhere / "linked.wav")
    os.mkfifo(source / "pipe")
    report = ingested(source, tmp_path / "lake")
    assert (report.registration.new, report.published, report.failed) == (8, 8, 0)
    assert report.skipped == {
        ".txt": 1,
        ".webp": 1,
        "without a suffix": 2,
        "hidden": 1,
        "hidden folder": 1,
        "link to a folder": 1,
    }


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the inputs made from public reports are not here")
def test_files_of_every_suffix_are_found(tmp_path: Path) -> None:
    files = [path for path in (FAULTS / "suffix").iterdir() if path.is_file()]
    assert ingested(FAULTS / "suffix", tmp_path / "lake").published == len(files)
    assert rows(tmp_path / "lake", "SELECT DISTINCT status FROM recordings") == [("ok",)]


def test_failed_recordings_can_be_retried(source: Path, tmp_path: Path) -> None:
    (source / "empty.wav").write_bytes(b"")
    ingested(source, tmp_path / "lake")
    report = ingested(source, tmp_path / "lake", retry_failed=True)
    assert (report.published, report.failed) == (1, 1)
    assert report.computed["normalized_audio"] == 1


def test_a_run_takes_no_more_audio_than_it_may(source: Path, tmp_path: Path) -> None:
    report = ingested(source, tmp_path / "lake", shards=1, workers=1, run_audio_hours=0.9 / 3600)
    assert report.published == 4
    assert report.runs >= 2


def test_strange_names(tmp_path: Path) -> None:
    source = tmp_path / "in"
    for name in ("a b.wav", "ä%20'x\".wav", "emoji 🎧 #1?.wav", "SELECT 1;--.WAV", os.fsdecode(b"\xff\xfe.wav")):
        tone(source / name, 500)
    tone(source / ".hidden.wav", 500)
    report = ingested(source, tmp_path / "lake")
    assert (report.published, report.failed) == (5, 0)


def test_a_lake_among_the_recordings_is_left_out(source: Path) -> None:
    assert ingested(source, source / "lake").published == 4
    assert (source / "lake" / "audio").is_dir()
    report = ingested(source, source / "lake")
    assert (report.registration.new, report.published) == (0, 0)


def test_special_files_are_left_out(source: Path, tmp_path: Path) -> None:
    os.mkfifo(source / "pipe.wav")
    (source / "folder.wav").mkdir()
    report = ingested(source, tmp_path / "lake")
    assert (report.published, report.failed, report.pending) == (4, 0, 0)


def test_shards_are_frozen(source: Path, tmp_path: Path) -> None:
    ingested(source, tmp_path / "lake", shards=2)
    with pytest.raises(LakeMismatch, match="SENSORY_SHARDS=2"):
        ingested(source, tmp_path / "lake", shards=4)


def test_the_same_tables_from_scratch(source: Path, tmp_path: Path) -> None:
    ingested(source, tmp_path / "one")
    ingested(source, tmp_path / "two")
    assert tables(tmp_path / "one") == tables(tmp_path / "two")
