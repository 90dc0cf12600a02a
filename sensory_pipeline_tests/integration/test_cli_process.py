"""`sensory process` with several recordings, and what Tab inserts."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sensory_pipeline.cli.app import COMMANDS, app
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.command import SENSORY, environment, sensory


def test_several_recordings_have_a_file_each_and_a_bad_one_stops_none(tmp_path: Path) -> None:
    tone(tmp_path / "in" / "a.wav", 500)
    (tmp_path / "in" / "empty.wav").write_bytes(b"")
    tone(tmp_path / "in" / "b.wav", 600)
    names = ("in/a.wav", "in/empty.wav", "in/b.wav")
    done = sensory("process", *names, "-o", "out", "--tasks", "diarization", cwd=tmp_path)
    assert done.returncode == 1
    assert "in/empty.wav: the file has no bytes" in done.stderr
    assert done.stderr.endswith("1 of 3 recordings failed\n")
    assert done.stdout == ""
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.wav.json", "b.wav.json"]
    assert "dia" in json.loads((tmp_path / "out" / "a.wav.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["a.wav", "b.wav"], "give -o FOLDER"),
        (["a.wav", "inner/a.wav", "-o", "out"], "several recordings would be written to out/a.wav.json"),
        (["a.wav", "nowhere.wav", "-o", "out"], "the file nowhere.wav does not exist"),
        (["a.wav", "inner", "-o", "out"], "inner is a folder: use sensory ingest"),
    ],
)
def test_results_without_a_place_are_refused_before_any_work(arguments: list[str], told: str, tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "inner/a.wav"):
        tone(tmp_path / name, 300)
    done = CliRunner().invoke(app, ["process", *arguments])
    assert isinstance(done.exception, ConfigurationError)
    assert told in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_an_english_model_is_not_asked_to_translate(tmp_path: Path) -> None:
    tone(tmp_path / "a.wav", 300)
    done = sensory("process", "a.wav", "--translate", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "tiny.en does not translate: choose a multilingual model" in done.stderr


def completed(words: str, tmp_path: Path) -> list[str]:
    variables = {"_SENSORY_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [SENSORY],
        cwd=tmp_path,
        # otherwise a variable that is no setting would be reported
        env=environment(SENSORY_SHARD="1") | variables,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_tab_inserts_commands_and_options(tmp_path: Path) -> None:
    assert completed("sensory s", tmp_path) == [name for name in COMMANDS if name.startswith("s")]
    assert "--dry-run" in completed("sensory ingest --d", tmp_path)


def test_completion_can_be_installed() -> None:
    assert "--install-completion" in CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout
