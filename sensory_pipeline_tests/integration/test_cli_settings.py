"""The error about a wrong setting names it as the user wrote it, and never shows a secret."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests.command import invoked

TOKEN = "hf_not_to_be_seen"


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        (
            "SENSORY_STT",
            "bogus",
            "SENSORY_STT is 'bogus', and the engines for transcripts are whisper",
        ),
        ("SENSORY_SHARDS", "many", "SENSORY_SHARDS is 'many': it should be a valid integer"),
        ("SENSORY_SHARDS", "0", "SENSORY_SHARDS is '0': it should be greater than or equal to 1"),
        ("SENSORY_EMO_LEVEL", "x", "SENSORY_EMO_LEVEL is 'x': use 'word', 'sentence', 'speaker' or 'file'"),
        (
            "SENSORY_TIME_ZONE",
            "Europe/Berln",
            "SENSORY_TIME_ZONE is 'Europe/Berln': unknown time zone; write it like Europe/Berlin",
        ),
        ("LOG_LEVEL", "loud", "LOG_LEVEL is 'loud': use 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("SENSORY_TEMPERATURES", "hot", "SENSORY_TEMPERATURES is no JSON: see .env.example"),
        ("PYANNOTE_TRUSTED_CLASSES", "a.B", "PYANNOTE_TRUSTED_CLASSES is no JSON: see .env.example"),
    ],
)
def test_it_is_named_with_its_value_and_what_is_allowed(variable: str, value: str, told: str, tmp_path: Path) -> None:
    done = invoked("models", "list", cwd=tmp_path, PYANNOTE_AUTH_TOKEN=TOKEN, **{variable: value})
    assert (done.returncode, done.stderr) == (2, f"{told}\n")


def test_a_rule_about_several_settings_shows_no_secret(tmp_path: Path) -> None:
    given = {"SENSORY_SPEAKERS": "2", "SENSORY_MIN_SPEAKERS": "3", "PYANNOTE_AUTH_TOKEN": TOKEN}
    done = invoked("models", "list", cwd=tmp_path, **given)
    assert (done.returncode, done.stderr) == (2, "give either the exact number of speakers or a range, not both\n")


def test_no_error_of_the_settings_holds_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SENSORY_SPEAKERS": "2", "SENSORY_MIN_SPEAKERS": "3", "PYANNOTE_AUTH_TOKEN": TOKEN}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert TOKEN not in str(caught.value)


def test_settings_that_run_code_are_not_read_from_the_current_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text('PYANNOTE_TRUSTED_CLASSES=["trap.Network"]\n')
    with pytest.raises(ConfigurationError, match="only in the environment"):
        Settings()
    Path(".env").write_text("PYANNOTE_TRUSTED_CLASSES=[]\n")
    monkeypatch.setenv("PYANNOTE_TRUSTED_CLASSES", '["mine.Network"]')
    assert Settings().pyannote_trusted_classes == {"mine.Network"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_the_settings_of_another_user_are_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SENSORY_SHARDS=4\n")
    os.chown(tmp_path / ".env", 12345, 12345)
    done = invoked("models", "list", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{tmp_path / '.env'} belongs to another user")
    assert done.stderr.count("\n") == 1


def test_settings_that_anybody_may_write_are_refused() -> None:
    Path(".env").write_text("SENSORY_SHARDS=4\n")
    assert Settings().shards == 4
    Path(".env").chmod(0o666)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        Settings()


def test_an_unknown_variable_is_reported_once(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SENSORY_SHARD=4\nOTHER=1\n")
    done = invoked("models", "list", cwd=tmp_path, SENSORY_DIARISATION="onnx")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "there is no setting SENSORY_DIARISATION: did you mean SENSORY_DIARIZATION?",
        "there is no setting SENSORY_SHARD: did you mean SENSORY_SHARDS?",
    ]
