"""`sensory dev` brings up Dagster's UI with our assets and the lake's runs, and goes down as a whole."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from sensory_pipeline.cli.dev import habits
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.command import sensory
from sensory_pipeline_tests.dev_server import running
from sensory_pipeline_tests.lakes import ingested

ASKED = """{
  assetNodes { assetKey { path } isPartitioned }
  runsOrError { ... on Runs { results { status } } }
}"""


def test_it_says_what_runs_automatically(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(habits(Settings(devices="cpu:0,cpu:1"))) == [
        """watches nothing (SENSORY_SOURCES='["/recordings"]')""",
        "one run at a time on each of cpu:0, cpu:1 (SENSORY_DEVICES)",
    ]
    monkeypatch.setenv("SENSORY_SOURCES", '["/calls", "s3://bucket/more"]')
    monkeypatch.setenv("SENSORY_TIME_ZONE", "Europe/Berlin")
    said = "\n".join(habits(Settings(devices="cpu")))
    assert "watches /calls, s3://bucket/more (SENSORY_SOURCES)" in said
    assert "after 10 s, or at once from 1 GB on" in said
    assert "at 0 2 * * * Europe/Berlin" in said
    assert "not all day" in "\n".join(habits(Settings(devices="cpu", arrivals=False)))


@pytest.mark.parametrize("nightly", ["at two", "0 25 * * *", "0 2 31 2 *"])
def test_an_invalid_schedule_is_reported_at_once(nightly: str, tmp_path: Path) -> None:
    done = sensory("dev", "--lake", "lake", cwd=tmp_path, SENSORY_NIGHTLY=nightly)
    assert (done.returncode, done.stderr.startswith(f"SENSORY_NIGHTLY is '{nightly}'")) == (2, True)
    assert not (tmp_path / "lake").exists()


def test_the_ui_answers_and_ends_with_its_command(tmp_path: Path) -> None:
    (tmp_path / "gql.py").write_text("")  # as a package of Dagster's is called
    tone(tmp_path / "in" / "a.wav", 500)
    ingested(tmp_path / "in", tmp_path / "lake", shards=1, workers=1, history=True)
    with running(tmp_path / "lake") as server:
        answer = server.ask(ASKED)
        partitioned = {"/".join(node["assetKey"]["path"]): node["isPartitioned"] for node in answer["assetNodes"]}
        assert partitioned.pop("sources") is False
        assert partitioned == dict.fromkeys(
            ("normalized_audio", "transcripts", "diarization", "emotions", "merged_parquet"), True
        )
        assert [run["status"] for run in answer["runsOrError"]["results"]] == ["SUCCESS"]
        family = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]
        listening = {c.laddr.ip for p in family for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN}
        assert listening <= {"127.0.0.1", "::1"}
        server.process.send_signal(signal.SIGINT)
        server.process.wait(timeout=60)
        _, alive = psutil.wait_procs(family[1:], timeout=30)
        assert alive == []
