"""The progress that an ingest shows, and how it is stopped."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
from pathlib import Path

from dagster._utils.interrupts import capture_interrupts  # noqa: TID251 - as Dagster does around a run

from sensory_pipeline.automation.interrupts import keep_sigterm, watch_interrupts
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.command import command, environment, invoked, sensory


def test_without_a_terminal_every_partition_is_a_line(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        tone(tmp_path / "in" / f"{name}.wav", 500)
    (tmp_path / "in" / "empty.wav").write_bytes(b"")  # takes one step of four
    done = sensory("ingest", "in", "--lake", "lake", cwd=tmp_path, SENSORY_SHARDS="2")
    assert done.returncode == 0
    (runs,) = re.findall(r"(\d) runs? *\n", done.stderr)
    begin = r"\d of 4 recordings done, 0:00:\d\d elapsed, "
    lines = [line for line in done.stderr.splitlines() if re.match(begin, line)]
    assert len({line.split(",")[0] for line in lines}) == int(runs)  # on a slow machine some come twice
    assert lines[-1].endswith("16 of 16 steps")


def test_a_terminal_shows_steps_as_they_are_done(tmp_path: Path) -> None:
    tone(tmp_path / "in" / "call[1].wav", 500)
    ours, theirs = pty.openpty()
    asked = command("ingest", "in", "--lake", "lake")
    with subprocess.Popen(asked, cwd=tmp_path, env=environment(TERM="xterm"), stderr=theirs) as running:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # how a terminal ends
            while some := os.read(ours, 4096):
                shown += some
    os.close(ours)
    assert running.returncode == 0
    assert b"emotions: call[1].wav" in shown
    assert b"1 of 1 recording done" in shown


def test_ctrl_c_prints_one_line_and_the_next_ingest_does_the_rest(tmp_path: Path) -> None:
    for index in range(12):
        tone(tmp_path / "in" / f"{index}.wav", 3000)
    asked = command("ingest", "in", "--lake", "lake")
    with subprocess.Popen(
        asked,
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        # as on a terminal: a shell without job control makes what is in the background deaf to it, and its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        assert running.stderr is not None
        running.stderr.readline()  # a partition is done
        running.send_signal(signal.SIGINT)
        told = running.stderr.read()
    assert running.returncode == 130
    assert told.splitlines()[-1] == "stopped; finished work is kept, and the next ingest continues"
    again = sensory("ingest", "in", "--lake", "lake", cwd=tmp_path)
    assert again.returncode == 0
    published = "SELECT count(*) FROM recordings WHERE status = 'ok'"
    shown = invoked("sql", published, "--lake", "lake", "--format", "csv", cwd=tmp_path).stdout
    assert shown.splitlines()[1] == "12"


def test_a_ctrl_c_that_dagster_loses_is_noticed() -> None:
    with watch_interrupts() as interrupted:
        with capture_interrupts():
            assert not interrupted()
            signal.raise_signal(signal.SIGINT)
        assert interrupted()
        assert not interrupted(), "it is reported once"


def test_sigterm_keeps_its_handler_where_ctrl_c_is_ignored() -> None:
    """As in a job that a script runs in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with keep_sigterm(), capture_interrupts():
            pass
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGINT, before)
