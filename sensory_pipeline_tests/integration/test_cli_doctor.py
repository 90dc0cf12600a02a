"""What the command line says is missing, and that its advice can be followed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sensory_pipeline.lake import own_settings
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests.command import invoked, sensory


@pytest.mark.usefixtures("real_models")
def test_doctor_cuts_no_name_and_shows_what_was_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SENSORY_LAKE=elsewhere\n")
    (tmp_path / ".env").chmod(0o644)
    done = sensory("doctor", cwd=tmp_path, COLUMNS="60")
    assert done.returncode == 0
    columns = zip(*(line.split("│")[1:4] for line in done.stdout.splitlines() if line.startswith("│")), strict=True)
    packages, states, advice = ("".join(cell.strip() for cell in column) for column in columns)
    assert str(tmp_path / ".env") in states
    assert f"chmod600{tmp_path / '.env'}" in advice.replace(" ", "")
    assert "whisper,modelSystran/faster-whisper-tiny.en,revision0d3d19a32d33" in states.replace(" ", "")
    assert "torch(pyannote,gigaam)" in packages.replace(" ", "")
    assert "…" not in done.stdout


def test_the_error_of_a_failed_fetch_does_not_suggest_the_same_fetch(tmp_path: Path) -> None:
    done = invoked("models", "fetch", "whisper:small", cwd=tmp_path, HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1")
    assert done.returncode == 2
    assert "Where there is a network, run `sensory models fetch whisper:small`" in done.stderr
    assert "WHISPER_MODEL_SIZE=/path/to/folder" in done.stderr


def test_doctor_and_models_go_by_the_settings_that_a_lake_keeps(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path / "lake", shards=1, start_date=Settings().start_date)
    own_settings.write(lake.root, own_settings.parsed({"PYANNOTE_MODEL": "me/mine"}))
    doctor = invoked("doctor", "--lake", lake.root, cwd=tmp_path)
    assert doctor.returncode == 1
    assert "whose settings hold" in re.sub(r"[│\s]+", " ", doctor.stdout)  # in a cell of some lines
    assert "pyannote: " in doctor.stdout, "and its packages or its model are missing"
    assert "pyannote:me/mine" in invoked("models", "list", cwd=tmp_path, SENSORY_LAKE="lake").stdout
    assert "pyannote:me/mine" not in invoked("models", "list", cwd=tmp_path).stdout, "nobody has named the lake"
    nowhere = invoked("doctor", "--lake", "nowhere", cwd=tmp_path)
    assert (nowhere.returncode, nowhere.stdout) == (2, "")
