"""Real weights behind the service: the answers of `sensory process`, alone and among others."""

from __future__ import annotations

import base64
import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import jiwer
import pytest
from websockets.sync.client import connect

from sensory_pipeline.core.formats import json as process_format
from sensory_pipeline.core.process_request import EmotionLevel, EmotionSettings, ProcessRequest
from sensory_pipeline.engines.selection import Engines, chosen_engines
from sensory_pipeline.processing.setup import engine_choice
from sensory_pipeline.processing.single_file import process_file
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests import places
from sensory_pipeline_tests.command import command, environment
from sensory_pipeline_tests.gateway_server import Gateway
from sensory_pipeline_tests.kennedy import KENNEDY, SAID, plain, resample
from sensory_pipeline_tests.published_models import REAL_MODELS, published

SAMPLES = places.SAMPLES
NAMES = ("lost_bank_card.wav", "hotel_room.ogg")
WANTED = {
    "settings": {
        "tasks": ["transcribe", "diarization", "emotion"],
        "tra": {"temperature": 0},
        "emo": {"analysis_level": "speaker"},
    }
}
REQUEST = ProcessRequest(emo=EmotionSettings(level=EmotionLevel.SPEAKER)).model_copy(
    update={"tra": ProcessRequest().tra.model_copy(update={"temperatures": (0.0,)})}
)
BESIDE = {"tra": ("chunks",), "dia": (), "emo": ("segments", "engine")}
"""What the service's format has beside that of the command."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """`sensory serve`, which ends cleanly on SIGTERM."""
    for name in REAL_MODELS:
        published(name)
    folder = tmp_path_factory.mktemp("real")
    settings = environment(SENSORY_SIDE_BY_SIDE="true", SENSORY_WORKERS="1", WHISPER_CPU_THREADS="1")
    with (folder / "log").open("w+") as log:
        with subprocess.Popen(
            command("serve", "--port", "0", "--devices", "cpu:0"), cwd=folder, env=settings, stderr=log
        ) as served:
            try:
                url = listening(served, folder / "log")
                with httpx2.Client(base_url=url, timeout=120) as http:
                    running = Gateway(url=url, http=http)
                    running.wait_until_ready(120)
                    yield running
            finally:
                served.terminate()
            assert served.wait(60) == -signal.SIGTERM
        logged = [json.loads(line) for line in (folder / "log").read_text().splitlines()[1:]]
    assert {"ready", "request", "stopped"} <= {line["event"] for line in logged}
    assert not [line for line in logged if line["level"] in ("warning", "error")]


def listening(served: subprocess.Popen[bytes], log: Path) -> str:
    """Where it says that it listens."""
    end = time.monotonic() + 60
    while not (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
        assert served.poll() is None, log.read_text()
        assert time.monotonic() < end
        time.sleep(0.05)
    return found[0]


def expected(name: str, engines: Engines) -> str:
    """What `sensory process` prints."""
    result = process_file(SAMPLES / name, REQUEST, engines, max_audio_hours=1)
    return process_format.render(result, REQUEST.tasks)


def rendered(result: Mapping[str, Any]) -> str:
    """The same part of what the service answers."""
    alike = {
        part: {name: value for name, value in result[part].items() if name not in beside}
        for part, beside in BESIDE.items()
    }
    return json.dumps(alike, ensure_ascii=False, indent=2)


def test_answers_are_those_of_the_command_byte_for_byte(service: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor(4) as threads:  # at once, so that they share batches
        sent = [threads.submit(service.process, SAMPLES / name, WANTED) for name in NAMES * 2]
        answers = [answer.result().json()["result"] for answer in sent]
    monkeypatch.setenv("WHISPER_MODEL_SIZE", "tiny.en")
    monkeypatch.setenv("WHISPER_CPU_THREADS", "1")
    engines = chosen_engines(engine_choice(Settings()))
    for name, answer, again in zip(NAMES, answers, answers[2:], strict=False):
        assert rendered(answer) == rendered(again) == expected(name, engines)
    words = [word for chunk in answers[0]["tra"]["chunks"] for word in chunk["alternatives"][0]["words"]]
    assert "".join(word["word"] for word in words).strip() == answers[0]["tra"]["text"]
    assert len(words) > 20


def test_openais_api_has_the_same_text(service: Gateway) -> None:
    path = SAMPLES / NAMES[0]
    tra = service.process(path, {"settings": {"tasks": ["transcribe", "diarization"]}}).json()["result"]["tra"]

    def post(address: str, **fields: Any) -> httpx2.Response:
        form = {"model": "whisper-1", **fields}
        return service.http.post(f"/v1/audio/{address}", files={"file": path.read_bytes()}, data=form)

    both = ["word", "segment"]
    verbose = post("transcriptions", response_format="verbose_json", timestamp_granularities=both).json()
    assert verbose["text"] == tra["text"]
    assert [segment["text"] for segment in verbose["segments"]] == [segment["text"] for segment in tra["segments"]]
    words = [word for segment in tra["segments"] for word in segment["words"]]
    assert verbose["words"] == [{name: word[name] for name in ("word", "start", "end")} for word in words]
    diarized = post("transcriptions", response_format="diarized_json").json()
    assert diarized["text"] == tra["text"]
    said = [
        speaker for segment in diarized["segments"] for speaker in [segment["speaker"]] * len(segment["text"].split())
    ]
    letters = dict(zip(dict.fromkeys(word["speaker"] for word in words), "ABCDEF", strict=False))
    assert said == [letters[word["speaker"]] for word in words]
    events = post("transcriptions", stream="true").text.split("\n\n")
    deltas = [json.loads(event.removeprefix("data: ")).get("delta", "") for event in events if event]
    assert "".join(deltas) == tra["text"]
    cues = post("transcriptions", response_format="srt").text.split("\n\n")
    assert len(cues) == len(tra["segments"])
    refused = post("translations").json()["error"]  # tiny.en knows English alone
    assert refused["code"] == "no_translation"


def test_the_realtime_api_transcribes_the_speech(service: Gateway) -> None:
    sound = resample(KENNEDY, 24_000)
    deltas: list[str] = []
    address = f"{service.url.replace('http', 'ws')}/v1/realtime?intent=transcription"
    by_client = {"type": "session.update", "session": {"audio": {"input": {"turn_detection": None}}}}
    with connect(address, proxy=None) as client:
        client.send(json.dumps(by_client))
        for start in range(0, len(sound), 48_000):
            audio = base64.b64encode(sound[start : start + 48_000]).decode()
            client.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
        client.send('{"type": "input_audio_buffer.commit"}')
        while not (event := json.loads(client.recv(timeout=60)))["type"].endswith("transcription.completed"):
            deltas.append(event.get("delta", ""))
    assert "".join(deltas) == event["transcript"]
    # how much is heard at a time depends on how much has come by then, and with it a word or two
    assert jiwer.wer(SAID, " ".join(plain(event["transcript"]))) <= 0.2


def test_the_cache_statistics_name_the_models(service: Gateway) -> None:
    stats = service.http.get("/cache/stats").json()
    assert any(model.startswith("whisper ") for model in stats["models"])
    assert "/" not in "".join(stats["models"])
    assert stats["loads"] >= 2  # Whisper, and the speakers' networks
    assert stats["devices"]["cpu:0"]["loads"] == stats["loads"]
