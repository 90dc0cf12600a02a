"""What the command line says is missing, and that its advice can be followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensory_pipeline_tests.command import sensory


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
    done = sensory("models", "fetch", "whisper:small", cwd=tmp_path, HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1")
    assert done.returncode == 2
    assert "Where there is a network, run `sensory models fetch whisper:small`" in done.stderr
    assert "WHISPER_MODEL_SIZE=/path/to/folder" in done.stderr
