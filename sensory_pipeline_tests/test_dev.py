"""`sensory dev` brings up Dagster's UI with our assets and the lake's runs, and goes down as a whole."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil

from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.dev_server import running
from sensory_pipeline_tests.lakes import ingested

ASKED = """{
  assetNodes { assetKey { path } isPartitioned }
  runsOrError { ... on Runs { results { status } } }
}"""


def test_the_ui_answers_and_ends_with_its_command(tmp_path: Path) -> None:
    tone(tmp_path / "in" / "a.wav", 500)
    ingested(tmp_path / "in", tmp_path / "lake", shards=1, workers=1)
    with running(tmp_path / "lake") as server:
        answer = server.ask(ASKED)
        partitioned = {"/".join(node["assetKey"]["path"]): node["isPartitioned"] for node in answer["assetNodes"]}
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
