"""The server that engine processes are forked from, which may be older than what they have to know."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from sensory_pipeline.core.process_request import ProcessRequest
from sensory_pipeline.engines.selection import EngineFactory
from sensory_pipeline.processing.setup import shared_engines
from sensory_pipeline.processing.single_file import process_file
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.command import environment
from sensory_pipeline_tests.live_processes import lives
from sensory_pipeline_tests.places import ROOT
from sensory_pipeline_tests.trivial_engines import CULPRIT_MS, touching_a_note
from sensory_pipeline_tests.waiting import eventually

PROCESSING = """
from pathlib import Path
from sensory_pipeline_tests import trivial_engines
from sensory_pipeline_tests.integration.test_process_server import processed

if __name__ == "__main__":
    processed(Path({recording!r}), trivial_engines.{engines})
"""


def processed(recording: Path, engines: EngineFactory = touching_a_note) -> None:
    with shared_engines(Settings(workers=1, side_by_side=False), engines=engines) as (executor, sets):
        process_file(recording, ProcessRequest(), sets[0], max_audio_hours=1, executor=executor)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return tone(tmp_path / "recordings" / "a.wav", CULPRIT_MS)


def test_an_engine_that_hangs_ends_with_a_killed_command(recording: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(PROCESSING.format(recording=str(recording), engines="touching_a_note_and_hanging"))
    note = tmp_path / "note"
    with subprocess.Popen([sys.executable, script], env=environment(NOTE=str(note), PYTHONPATH=str(ROOT))) as command:
        eventually(note.exists)
        others = [child.pid for child in psutil.Process(command.pid).children(recursive=True)]
        command.kill()
    assert len(others) >= 2  # the server and the engine
    eventually(lambda: not any(lives(pid) for pid in others))


def test_a_process_has_the_environment_of_now(recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        monkeypatch.setenv("NOTE", str(tmp_path / name))
        processed(recording)
        assert (tmp_path / name).exists()


@pytest.mark.parametrize("module", ["numpy", "pickle", "psutil"])
def test_nothing_is_imported_from_the_current_directory(module: str, recording: Path, tmp_path: Path) -> None:
    (recording.parent / f"{module}.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')")
    script = tmp_path / "script.py"
    script.write_text(PROCESSING.format(recording=str(recording), engines="touching_a_note"))
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


def test_a_shortage_that_may_end_is_no_error_of_the_settings(tmp_path: Path) -> None:
    code = """
import os, resource
from sensory_pipeline.processing.workers.process_server import server_context
before = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")), before[1]))
try:
    server_context()
except OSError as error:
    print(os.strerror(error.errno))
resource.setrlimit(resource.RLIMIT_NOFILE, before)
server_context()
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(PYTHONPATH=str(ROOT)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "Too many open files\n"), done.stderr


def test_a_temporary_folder_that_is_too_deep_is_an_error(recording: Path, tmp_path: Path) -> None:
    deep = tmp_path / ("a" * 100)
    deep.mkdir()
    script = tmp_path / "script.py"
    script.write_text(PROCESSING.format(recording=str(recording), engines="touching_a_note"))
    variables = environment(NOTE=str(tmp_path / "note"), PYTHONPATH=str(ROOT), TMPDIR=str(deep))
    done = subprocess.run([sys.executable, script], env=variables, capture_output=True, text=True)
    assert "set TMPDIR to a folder with a short path" in done.stderr
