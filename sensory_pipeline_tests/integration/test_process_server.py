"""The server that engine processes are forked from, which may be older than what they have to know."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sensory_pipeline.core.process_request import ProcessRequest
from sensory_pipeline.processing.setup import shared_engines
from sensory_pipeline.processing.single_file import process_file
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.command import environment
from sensory_pipeline_tests.places import ROOT
from sensory_pipeline_tests.trivial_engines import CULPRIT_MS, touching_a_note

PROCESSING = """
from pathlib import Path
from sensory_pipeline_tests.integration.test_process_server import processed

if __name__ == "__main__":
    processed(Path({recording!r}))
"""


def processed(recording: Path) -> None:
    with shared_engines(Settings(workers=1, side_by_side=False), engines=touching_a_note) as (executor, sets):
        process_file(recording, ProcessRequest(), sets[0], max_audio_hours=1, executor=executor)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return tone(tmp_path / "recordings" / "a.wav", CULPRIT_MS)


def test_a_process_has_the_environment_of_now(recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        monkeypatch.setenv("NOTE", str(tmp_path / name))
        processed(recording)
        assert (tmp_path / name).exists()


@pytest.mark.parametrize("module", ["numpy", "pickle", "psutil"])
def test_nothing_is_imported_from_the_current_directory(module: str, recording: Path, tmp_path: Path) -> None:
    (recording.parent / f"{module}.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')")
    script = tmp_path / "script.py"
    script.write_text(PROCESSING.format(recording=str(recording)))
    done = subprocess.run(
        [sys.executable, script],
        cwd=recording.parent,
        env=environment(NOTE=str(tmp_path / "note"), PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "note").exists()
    assert not (tmp_path / "mark").exists()
