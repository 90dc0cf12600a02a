"""`sensory call`: what a service answers, printed as the other commands print it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.command import sensory
from sensory_pipeline_tests.gateway_server import Gateway, gateway
from sensory_pipeline_tests.kennedy import KENNEDY, resample, wav
from sensory_pipeline_tests.live_server import last_word


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("spool"), engines=last_word) as running:
        running.wait_until_ready()
        yield running


def called(service: Gateway, folder: Path, *arguments: str, code: int = 0) -> str:
    """What is printed: the result, or the error."""
    done = sensory("call", *arguments, "--url", service.url, cwd=folder)
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def test_json_is_what_the_service_answers(service: Gateway, tmp_path: Path) -> None:
    tone(tmp_path / "speech.wav", 300)
    found = json.loads(called(service, tmp_path, "speech.wav", "--emo-level", "file", "--language", "en"))
    assert found["tra"]["text"] == "300"
    assert found["dia"]["speakers"] == ["SPEAKER_00"]
    assert found["emo"]["level"] == "file"


@pytest.mark.parametrize(
    ("tasks", "text"),
    [
        ("transcribe,diarization,emotion", "[00:00.10 - 00:00.30] SPEAKER_00 (neutral): 300\n"),
        ("diarization", "[00:00.00 - 00:00.30] SPEAKER_00\n"),
        ("emotion", "[00:00.00 - 00:00.30] neutral\n"),
    ],
)
def test_text_is_that_of_sensory_process(service: Gateway, tmp_path: Path, tasks: str, text: str) -> None:
    tone(tmp_path / "speech.wav", 300)
    assert called(service, tmp_path, "speech.wav", "--tasks", tasks, "--format", "text", "--background") == text


@pytest.mark.parametrize("rate", [16_000, 11_025])
def test_live(service: Gateway, tmp_path: Path, rate: int) -> None:
    wav(tmp_path / "speech.wav", rate, resample(KENNEDY[: 2 * 16_000 * 2], rate))
    tasks = "transcribe,emotion"
    text = called(service, tmp_path, "speech.wav", "--live", "--format", "text", "--tasks", tasks).splitlines()
    assert [re.sub(r"\d", "0", line) for line in text] == [
        "[00:00.00 - 00:00.00] 0000",
        "[00:00.00 - 00:00.00] neutral",
    ]


def test_live_as_json(service: Gateway, tmp_path: Path) -> None:
    wav(tmp_path / "speech.wav", 16_000, KENNEDY[: 2 * 16_000 * 2])
    lines = called(service, tmp_path, "speech.wav", "--live").splitlines()
    assert sum(bool(json.loads(line)["words"]) for line in lines) == 1


@pytest.mark.parametrize("live", [(), ("--live",)])
@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("127.0.0.1:9", "127.0.0.1:9 is not the URL of a service"),
        ("http://127.0.0.1:9", "127.0.0.1:9 does not answer"),
    ],
)
def test_no_service(tmp_path: Path, url: str, why: str, live: tuple[str, ...]) -> None:
    wav(tmp_path / "speech.wav", 16_000, KENNEDY[:32_000])
    done = sensory("call", "speech.wav", "--url", url, *live, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr


def test_errors_are_one_line(service: Gateway, tmp_path: Path) -> None:
    (tmp_path / "no.wav").write_text("no recording")
    assert "it is not recognised as sound" in called(service, tmp_path, "no.wav", code=1)
    tone(tmp_path / "speech.wav", 300)
    assert "language" in called(service, tmp_path, "speech.wav", "--language", "zz", "--live", code=2)
    assert "does not exist" in called(service, tmp_path, "missing.wav", code=2)
