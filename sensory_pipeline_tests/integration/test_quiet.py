"""What is printed when all is well, and how commands end that somebody stops."""

import io
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from sensory_pipeline.automation.ingest_report import IngestReport
from sensory_pipeline.automation.instance import open_instance
from sensory_pipeline.automation.run_history import ended_since
from sensory_pipeline.cli.app import app
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.command import environment
from sensory_pipeline_tests.places import ROOT
from sensory_pipeline_tests.trivial_engines import CULPRIT_MS

PROCESSING = """
import sys
from sensory_pipeline.core.process_request import ProcessRequest
from sensory_pipeline.processing.setup import shared_engines
from sensory_pipeline.processing.single_file import process_file
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests.trivial_engines import logging_something

if __name__ == "__main__":
    settings = Settings(workers=1, side_by_side=False)
    with shared_engines(settings, engines=logging_something) as (executor, sets):
        process_file(sys.argv[1], ProcessRequest(), sets[0], max_audio_hours=1, executor=executor)
"""


@dg.op
def good(context: dg.OpExecutionContext) -> None:
    context.log.info("so far")


@dg.op
def bad() -> None:
    raise ConfigurationError("there is no model: fetch it\nand more")


@dg.job
def succeeding() -> None:
    good()


@dg.job
def failing() -> None:
    bad()


def test_each_run_prints_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    began = datetime.now(UTC)
    with open_instance(tmp_path / "home") as instance:
        succeeding.execute_in_process(instance=instance, tags={"dagster/partition": "2026-11-22|0"})
        shown = capfd.readouterr()
        assert "so far" in shown.err
        events = ("RUN_START", "STEP_START", "STEP_SUCCESS", "RUN_SUCCESS")
        assert not any(event in shown.err + shown.out for event in events), "they are in the UI"
        failing.execute_in_process(instance=instance, raise_on_error=False)
        first, second = (run.line() for run in ended_since(instance, began))
        assert ended_since(instance, datetime.now(UTC)) == []
    assert first.startswith("run ")
    assert ", partition 2026-11-22|0, success after 0:00:" in first
    assert ", failure after 0:00:" in second
    assert second.endswith(": bad failed: there is no model: fetch it")


@pytest.mark.parametrize(
    ("level", "shown"), [("INFO", ["INFO an.engine: how it goes", "WARNING an.engine: what is odd"]), ("ERROR", [])]
)
def test_the_log_level_holds_in_engine_processes(level: str, shown: list[str], tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(PROCESSING)
    recording = tone(tmp_path / "a.wav", CULPRIT_MS)
    variables = environment(LOG_LEVEL=level, PYTHONPATH=str(ROOT))
    done = subprocess.run(
        [sys.executable, script, recording], env=variables, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert [line for line in lines if "how it goes" in line or "what is odd" in line] == shown


class Interrupted(io.StringIO):
    """Standard input, at which somebody presses Ctrl-C."""

    def read(self, _: int | None = -1) -> str:
        raise KeyboardInterrupt


def test_a_stopped_command_prints_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Lake.create(tmp_path / "lake", shards=1, start_date=Settings().start_date)
    monkeypatch.setattr(sys, "stdin", Interrupted())
    with pytest.raises(SystemExit) as ended:
        app(["sql", "-", "--lake", "lake"])
    assert (ended.value.code, capsys.readouterr().err) == (130, "stopped\n")


def test_problems_are_reported() -> None:
    assert not IngestReport(published=3, missing=1).problems
    for report in (
        IngestReport(failed=1),
        IngestReport(partial=1),
        IngestReport(pending=1),
        IngestReport(emptied=1),
        IngestReport(run_failures=["why"]),
    ):
        assert report.problems
