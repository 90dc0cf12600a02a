"""The command line as people use it: exit codes, output, errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sensory_pipeline_tests.audio_files import tone

SENSORY = Path(sys.executable).with_name("sensory")
DATA = Path(__file__).parent / "data"


def sensory(*arguments: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SENSORY_", "DAGSTER_"))}  # noqa: TID251
    return subprocess.run(
        [SENSORY, *map(str, arguments)],
        cwd=cwd,
        env={**clean, "COLUMNS": "200", **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    tone(folder / "in" / "tone.wav", 600)
    (folder / "in" / "empty.wav").write_bytes(b"")
    done = sensory("ingest", "in", "--lake", "lake", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "processed 2 recordings" in done.stderr
    assert "1 EmptyAudio" in done.stderr
    return folder


def test_sql_as_table_csv_and_json(lake: Path) -> None:
    statement = "SELECT status, error_class FROM recordings ORDER BY status"
    assert "EmptyAudio" in sensory("sql", statement, "--lake", "lake", cwd=lake).stdout
    csv = sensory("sql", statement, "--lake", "lake", "--format", "csv", cwd=lake).stdout
    assert csv == "status,error_class\nfailed,EmptyAudio\nok,\n"
    rows = json.loads(sensory("sql", statement, "--lake", "lake", "--format", "json", cwd=lake).stdout)
    assert rows == [{"status": "failed", "error_class": "EmptyAudio"}, {"status": "ok", "error_class": None}]


def test_the_runs_are_in_dagster(lake: Path) -> None:
    import dagster as dg

    with dg.DagsterInstance.from_config(str(lake / "lake" / ".dagster")) as instance:
        runs = instance.get_runs()
        assert runs
        assert all(run.status == dg.DagsterRunStatus.SUCCESS for run in runs)
        record = instance.get_latest_materialization_event(dg.AssetKey("merged_parquet"))
    assert record is not None
    assert record.asset_materialization is not None
    assert "dagster/partition_row_count" in record.asset_materialization.metadata


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ingest", "nowhere", "--lake", "new"], "nowhere is not a folder"),
        (["sql", "SELECT 1", "--lake", "nowhere"], "there is no lake"),
        (["sql", "DROP TABLE words", "--lake", "lake"], "only SELECT"),
        (["sql", "SELECT nothing FROM words", "--lake", "lake"], "nothing"),
        (["ingest", "lake", "--lake", "lake"], "is a lake"),
        (["process", "nowhere.wav"], "No such file"),
        (["process", "in"], "not a regular file"),
        (["process", "in/empty.wav"], "EmptyAudio"),
        (["process", "in/tone.wav", "--tasks", "sing"], "choose from transcribe"),
        (["process", "in/tone.wav", "--language", "ru"], "UnsupportedLanguage"),
        (["process", "in/tone.wav", "--beam-size", "0"], "beam_size"),
        (["process", "in/tone.wav", "--speakers", "2", "--max-speakers", "3"], "exact number of speakers or a range"),
        (["demo", "--samples", "nowhere"], "nowhere is not there"),
        (["frobnicate"], "No such command"),
    ],
)
def test_wrong_use_is_exit_code_2_and_one_clear_line(arguments: list[str], message: str, lake: Path) -> None:
    done = sensory(*arguments, cwd=lake)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_setting_is_named(lake: Path) -> None:
    done = sensory("sql", "SELECT 1", "--lake", "lake", cwd=lake, SENSORY_SHARDS="many")
    assert done.returncode == 2
    assert "shards" in done.stderr
    assert "Traceback" not in done.stderr


def test_another_number_of_shards_is_refused(lake: Path) -> None:
    done = sensory("ingest", "in", "--lake", "lake", cwd=lake, SENSORY_SHARDS="3")
    assert done.returncode == 2
    assert "made with 8 shards" in done.stderr


def test_process_prints_the_replaced_services_result(tmp_path: Path) -> None:
    done = sensory("process", DATA / "jfk.flac", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result) == {"tra", "dia", "emo"}
    assert "country" in result["tra"]["text"]
    word = result["tra"]["segments"][0]["words"][0]
    assert set(word) == {"start", "end", "word", "probability", "speaker"}
    assert set(result["dia"]["turns"][0]) == {"start", "end", "speaker"}
    assert result["emo"]["level"] == "sentence"
    assert set(result["emo"]["items"][0]["scores"]) == {"angry", "sad", "neutral", "positive"}


def test_process_does_what_was_asked_and_no_more(tmp_path: Path) -> None:
    done = sensory("process", DATA / "jfk.flac", "--tasks", "emotion", "--emo-level", "file", cwd=tmp_path)
    result = json.loads(done.stdout)
    assert set(result) == {"emo"}
    assert len(result["emo"]["items"]) == 1
    text = sensory("process", DATA / "jfk.flac", "--tasks", "diarization", "--format", "text", cwd=tmp_path)
    assert text.stdout.startswith("[00:")
    assert "SPEAKER_00" in text.stdout


def test_a_failed_run_is_exit_code_1(tmp_path: Path) -> None:
    tone(tmp_path / "in" / "a.wav", 500)
    done = sensory("ingest", "in", "--lake", "lake", cwd=tmp_path, SENSORY_LANGUAGE="ru")
    assert done.returncode == 1
    assert "a run failed" in done.stderr
    assert "SENSORY_LANGUAGE" in done.stderr
