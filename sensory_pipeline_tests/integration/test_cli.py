"""The command line as people use it: exit codes, output, errors."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import date
from io import BytesIO
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from sensory_pipeline.automation.ingest_report import IngestReport
from sensory_pipeline.cli.app import app
from sensory_pipeline.cli.exit_codes import exit_code
from sensory_pipeline.cli.ingest_summary import summarise
from sensory_pipeline.core.errors import SensoryError
from sensory_pipeline.core.process_request import Task
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.ledger_entries import Registration
from sensory_pipeline.storage.lock import held
from sensory_pipeline_tests import places
from sensory_pipeline_tests.audio_files import tone, tones
from sensory_pipeline_tests.command import SENSORY, environment, invoked, sensory

DATA = places.DATA


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    tone(folder / "in" / "tone.wav", 600)
    (folder / "in" / "empty.wav").write_bytes(b"")
    (folder / "none").mkdir()
    (folder / "none" / "notes.txt").write_text("no recording")
    done = sensory("ingest", "in", "--lake", "lake", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "processed 2 recordings" in done.stderr
    assert "1 EmptyAudio" in done.stderr
    return folder


def test_sql_as_table_csv_and_json(lake: Path) -> None:
    statement = "SELECT status, error_class FROM recordings ORDER BY status"
    assert "EmptyAudio" in sensory("sql", statement, "--lake", "lake", cwd=lake).stdout
    csv = invoked("sql", statement, "--lake", "lake", "--format", "csv", cwd=lake).stdout
    assert csv == "status,error_class\nfailed,EmptyAudio\nok,\n"
    rows = json.loads(invoked("sql", statement, "--lake", "lake", "--format", "json", cwd=lake).stdout)
    assert rows == [{"status": "failed", "error_class": "EmptyAudio"}, {"status": "ok", "error_class": None}]


def test_a_wide_table_is_shown_line_by_line(lake: Path) -> None:
    statement = "SELECT uri, error_class AS \"[/red]\", '[red' AS b FROM recordings WHERE status = 'failed'"
    done = invoked("sql", statement, "--lake", "lake", cwd=lake, COLUMNS="40")
    assert done.stdout.splitlines() == [
        "row 1",
        f"uri    | {(lake / 'in' / 'empty.wav').as_uri()}",
        "[/red] | EmptyAudio",
        "b      | [red",
    ]
    assert "--format csv" in done.stderr


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_reader_that_closes_the_pipe_ends_it_quietly(form: str, lake: Path) -> None:
    # more rows than fit in memory: they are printed as they are computed
    asked = [SENSORY, "sql", "SELECT range FROM range(1000000000000)", "--lake", "lake", "--format", form]
    with subprocess.Popen(
        asked, cwd=lake, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.readline()
        command.stdout.close()
        assert command.stderr.read() == b""
    assert command.returncode == 0


def test_a_table_ends_after_a_limit(lake: Path) -> None:
    done = invoked("sql", "SELECT range + 1 FROM range(1000000000000)", "--lake", "lake", cwd=lake)
    assert " 1000 " in done.stdout
    assert " 1001 " not in done.stdout
    assert done.stderr == "only the first 1000 rows; use --format csv for all\n"


def test_own_files_are_joined(lake: Path) -> None:
    (lake / "calls.csv").write_text("name,customer\ntone.wav,Ada\n")
    statement = "SELECT customer, status FROM calls JOIN recordings USING (name)"
    done = invoked("sql", statement, "--with", "calls.csv", "--lake", "lake", "--format", "csv", cwd=lake)
    assert done.stdout == "customer,status\nAda,ok\n", done.stderr
    for name in ("words.csv", "a-b.csv", "none.csv"):
        refused = invoked("sql", "SELECT 1", "--with", name, "--lake", "lake", cwd=lake)
        assert refused.returncode == 2
        assert refused.stderr.startswith(name), refused.stderr


def test_a_statement_comes_from_standard_input_and_rows_go_to_parquet(lake: Path) -> None:
    done = subprocess.run(
        [SENSORY, "sql", "-", "--lake", "lake", "--format", "parquet"],
        input=b"SELECT status, [1.5, NULL] AS status\nFROM recordings ORDER BY 1; -- done",
        cwd=lake,
        env=environment(),
        capture_output=True,
        check=True,
        timeout=300,
    )
    rows = pq.read_table(BytesIO(done.stdout)).to_pylist()
    assert rows == [{"status": "failed", "status_1": [1.5, None]}, {"status": "ok", "status_1": [1.5, None]}]
    assert done.stderr == b""


def test_json_keeps_columns_of_one_name_and_has_no_nan(lake: Path) -> None:
    done = invoked("sql", "SELECT 1 AS a, 2 AS a, 'nan'::DOUBLE AS b", "--lake", "lake", "--format", "json", cwd=lake)
    assert done.stdout == '[{"a": 1, "a_1": 2, "b": null}]\n'


def test_a_quiet_ingest_without_changes_prints_nothing(lake: Path) -> None:
    done = sensory("ingest", "in", "--lake", "lake", "--quiet", cwd=lake)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_quiet_ingest_waits_for_another_in_silence(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    lock = tmp_path / "lake" / "locks" / "lake.lock"
    with held(lock, what="this test"):
        waiting = subprocess.Popen(
            [SENSORY, "ingest", "in", "--lake", "lake", "--quiet"],
            cwd=tmp_path,
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        while str(lock) not in {file.path for file in psutil.Process(waiting.pid).open_files()}:
            assert waiting.poll() is None
    assert waiting.communicate()[1].startswith("there is no recording in in")


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
        (["ingest", "none", "--lake", "lake"], "skipped, not recordings: 1 .txt"),
        (["ingest", "none", "--lake", "lake"], "there is no recording in none"),
        (["sql", "SELECT 1", "--lake", "nowhere"], "there is no lake"),
        (["sql", "DROP TABLE words", "--lake", "lake"], "only SELECT"),
        (["sql", "SELECT nothing FROM words", "--lake", "lake"], "nothing"),
        (["ingest", "lake", "--lake", "lake"], "is a lake"),
        (["process", "nowhere.wav"], "the file nowhere.wav does not exist"),
        (["process", "in"], "in is a folder: use sensory ingest"),
        (["process", "in/tone.wav", "--tasks", ""], "choose from transcribe, diarization, emotion"),
        (["process", "in/tone.wav", "--tasks", "sing"], "choose from transcribe"),
        (["process", "in/tone.wav", "--language", "ru"], "knows en only, not 'ru'"),
        (["process", "in/tone.wav", "--beam-size", "0"], "--beam-size is 0: it should be greater"),
        (["process", "in/tone.wav", "--speakers", "2", "--max-speakers", "3"], "exact number of speakers or a range"),
        (["demo", "--samples", "nowhere"], "nowhere does not exist"),
        (["frobnicate"], "No such command"),
    ],
)
def test_wrong_use_is_exit_code_2_and_one_clear_line(arguments: list[str], message: str, lake: Path) -> None:
    done = invoked(*arguments, cwd=lake)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "processed" not in done.stderr
    assert not (lake / "new").exists(), "no lake is made for a wrong source"


def test_an_error_points_into_the_statement_as_it_was_written(lake: Path) -> None:
    done = invoked("sql", "SELECT\n  nothing FROM words", "--lake", "lake", cwd=lake)
    assert "LINE 2:   nothing FROM words\n          ^" in done.stderr, done.stderr


def test_a_different_number_of_shards_is_refused(lake: Path) -> None:
    done = invoked("ingest", "in", "--lake", "lake", cwd=lake, SENSORY_SHARDS="3")
    assert done.returncode == 2
    assert "made with SENSORY_SHARDS=1" in done.stderr


def test_a_bad_recording_is_exit_code_1(lake: Path) -> None:
    done = sensory("process", "in/empty.wav", cwd=lake)
    assert done.returncode == 1
    assert done.stderr == "the file has no bytes; record or upload it again\n"


def test_a_damaged_lake_is_exit_code_3(tmp_path: Path) -> None:
    Lake.create(tmp_path / "lake", shards=1, start_date=date(2024, 1, 1))
    (tmp_path / "lake" / "ledger.sqlite").write_bytes(b"junk" * 1000)
    done = invoked("sql", "SELECT 1", "--lake", "lake", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith(f"{tmp_path / 'lake' / 'ledger.sqlite'} ")


def test_every_error_of_ours_has_an_exit_code() -> None:
    unseen = [SensoryError]
    while unseen:
        kinds = [kind for kind in unseen.pop().__subclasses__() if kind.__module__.startswith("sensory_pipeline.")]
        assert all(exit_code(kind("why")) for kind in kinds)
        unseen += kinds


def test_a_rerun_says_what_failed_before(lake: Path) -> None:
    done = sensory("ingest", "in", "--lake", "lake", cwd=lake)
    assert done.returncode == 0
    assert "1 recording failed before: use --retry-failed to try again" in done.stderr


def test_version_and_defaults_are_shown(tmp_path: Path) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", sensory("--version", cwd=tmp_path).stdout)
    assert "SENSORY_LAKE, else lake" in invoked("ingest", "--help", cwd=tmp_path).stdout
    shown = invoked("process", "--help", cwd=tmp_path, COLUMNS="80").stdout
    assert all(f" {task}" in shown for task in Task)


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


def test_process_does_only_the_given_tasks(tmp_path: Path) -> None:
    done = sensory("process", DATA / "jfk.flac", "--tasks", "emotion", "--emo-level", "file", cwd=tmp_path)
    result = json.loads(done.stdout)
    assert set(result) == {"emo"}
    assert len(result["emo"]["items"]) == 1
    text = sensory("process", DATA / "jfk.flac", "--tasks", "diarization", "--format", "text", cwd=tmp_path)
    assert text.stdout.startswith("[00:")
    assert "SPEAKER_00" in text.stdout
    text = sensory("process", DATA / "jfk.flac", "--tasks", "transcribe", "--format", "text", cwd=tmp_path)
    assert re.match(r"\[00:0\d\.\d\d - 00:\d\d\.\d\d\] \w+ ", text.stdout)
    assert "unknown" not in text.stdout


def test_silence_prints_that_no_speech_was_found(tmp_path: Path) -> None:
    tones(tmp_path / "silence.wav", 1000, (0,))
    done = sensory("process", "silence.wav", "--format", "text", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "no speech was found\n")


@pytest.mark.parametrize("side_by_side", ["true", "false"])
def test_a_failed_run_is_exit_code_1(side_by_side: str, tmp_path: Path) -> None:
    tone(tmp_path / "in" / "a.wav", 500)
    Lake.create(tmp_path / "lake", shards=1, start_date=date(2024, 1, 1))
    (tmp_path / "lake" / "stages").write_text("in the way")
    done = sensory("ingest", "in", "--lake", "lake", cwd=tmp_path, SENSORY_SIDE_BY_SIDE=side_by_side)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert re.search(r"^a run failed: .*stages.* \[\w+Error\]$", done.stderr, re.MULTILINE), done.stderr
    assert "still pending: 1 recording;" in done.stderr


def test_brackets_in_a_failure_are_no_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Lake.create(tmp_path / "lake", shards=1, start_date=date(2024, 1, 1))
    registration = Registration(new=2, changed=0, stale=0, unchanged=0)
    failures = ["sensory_pipeline.core.errors.EngineUnavailable: see [/models]"] * 2
    summarise(IngestReport(registration=registration, missing=0, run_failures=failures), tmp_path / "lake")
    assert "2 runs failed: see [/models]\n" in capsys.readouterr().err


def test_h_is_help() -> None:
    for arguments in (["-h"], ["sql", "-h"], ["models", "fetch", "-h"]):
        assert "Usage" in CliRunner().invoke(app, arguments).stdout
