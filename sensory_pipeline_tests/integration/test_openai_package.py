"""The published `openai` package against the service, unchanged."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sensory_pipeline.gateway.admission import AT_ONCE
from sensory_pipeline.gateway.keys import digest
from sensory_pipeline_tests import trivial_engines
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.gateway_server import Gateway, gateway
from sensory_pipeline_tests.kennedy import KENNEDY, resample
from sensory_pipeline_tests.live_server import last_word

openai: Any = pytest.importorskip("openai", reason="OpenAI's client is not installed: pip install openai")
KEY = "secret"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    spool = tmp_path_factory.mktemp("package") / "spool"
    with gateway(spool, engines=last_word, api_keys=(f"anna={digest(KEY)}",)) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture
def client(service: Gateway) -> Any:
    return openai.OpenAI(base_url=f"{service.url}/v1", api_key=KEY, max_retries=0)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tone(tmp_path_factory.mktemp("sound") / "a.wav", 1500)


def test_every_format(client: Any, recording: Path) -> None:
    def transcribed(**options: Any) -> Any:
        return client.audio.transcriptions.create(**{"file": recording, "model": "whisper-1"} | options)

    assert transcribed().text == transcribed(model="gpt-4o-transcribe").text == "1500"
    assert transcribed(response_format="text") == "1500\n"
    assert transcribed(response_format="srt").startswith("1\n00:00:00,000 --> ")
    assert transcribed(response_format="vtt").startswith("WEBVTT\n")
    verbose = transcribed(response_format="verbose_json", timestamp_granularities=["word", "segment"])
    assert type(verbose).__name__ == "TranscriptionVerbose"
    assert (verbose.language, verbose.duration, verbose.usage.seconds) == ("english", 1.5, 2)
    assert (verbose.words[0].word, verbose.words[0].start, verbose.segments[0].text) == ("1500", 1.3, "1500")
    diarized = transcribed(response_format="diarized_json", chunking_strategy="auto")
    assert type(diarized).__name__ == "TranscriptionDiarized"
    assert [(turn.speaker, turn.text) for turn in diarized.segments] == [("A", "1500")]
    assert transcribed(language="en", prompt="Hm.", temperature=0.2, chunking_strategy={"type": "server_vad"}).text
    with pytest.warns(DeprecationWarning):
        assert client.audio.translations.create(file=recording, model="whisper-1").text == "1500"
    assert "whisper-1" in [model.id for model in client.models.list()]
    assert client.models.retrieve("gpt-4o-transcribe").id == "gpt-4o-transcribe"


def test_streams(client: Any, recording: Path) -> None:
    def streamed(**options: Any) -> list[Any]:
        return list(client.audio.transcriptions.create(file=recording, model="whisper-1", stream=True, **options))

    *deltas, done = streamed()
    assert (done.type, done.text) == ("transcript.text.done", "".join(delta.delta for delta in deltas))
    segment, done = streamed(response_format="diarized_json")
    assert (segment.type, segment.speaker, done.text) == ("transcript.text.segment", "A", "1500")


def test_errors_are_the_packages_own(service: Gateway, client: Any, recording: Path) -> None:
    create = client.audio.transcriptions.create
    with pytest.raises(openai.NotFoundError) as missing:
        create(file=recording, model="gpt-9")
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError, match="known_speaker_names"):
        create(file=recording, model="whisper-1", known_speaker_names=["Anna"], known_speaker_references=["data:"])
    with pytest.raises(openai.BadRequestError, match="include"):
        create(file=recording, model="whisper-1", include=["logprobs"])
    with pytest.raises(openai.BadRequestError) as refused:
        create(file=b"nothing that sounds", model="whisper-1")
    assert refused.value.request_id
    stranger = openai.OpenAI(base_url=f"{service.url}/v1", api_key="other", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        stranger.models.list()


def wait_for_a_queue(service: Gateway, recordings: int) -> None:
    end = time.monotonic() + 60
    while True:
        page = service.http.get("/metrics").text.splitlines()
        (line,) = [line for line in page if line.startswith("sensory_queue_recordings ")]
        if float(line.split()[1]) >= recordings:
            return
        assert time.monotonic() < end
        time.sleep(0.02)


def test_it_retries_when_the_service_has_room(tmp_path: Path) -> None:
    short = tone(tmp_path / "short.wav", 400)
    long = tone(tmp_path / "long.wav", 3000)
    hours = 3.3 / 3600
    with (
        gateway(
            tmp_path / "spool", engines=trivial_engines.slow, side_by_side=True, queue_audio_hours=hours
        ) as service,
        ThreadPoolExecutor(AT_ONCE + 8) as threads,
    ):
        service.wait_until_ready()
        client = openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=20)
        sent = [threads.submit(service.process, short, {"settings": {}}) for _ in range(AT_ONCE + 8)]
        wait_for_a_queue(service, 4)
        answer = client.audio.transcriptions.with_raw_response.create(file=long, model="whisper-1")
        assert (answer.parse().text, answer.retries_taken > 0) == ("3000", True)
        assert {answer.result().status_code for answer in sent} <= {200, 429}


@pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager:DeprecationWarning")  # of websockets
def test_realtime(client: Any) -> None:
    sound = resample(KENNEDY, 24_000) + bytes(48_000)
    heard = {"format": {"type": "audio/pcm", "rate": 24000}, "transcription": {"model": "whisper-1", "language": "en"}}
    heard["turn_detection"] = {"type": "server_vad"}
    deltas: dict[str, str] = {}
    texts: dict[str, str] = {}
    with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        assert connection.recv().type == "session.created"
        connection.session.update(session={"type": "transcription", "audio": {"input": heard}})
        assert connection.recv().type == "session.updated"
        for start in range(0, len(sound), 24_000):
            connection.input_audio_buffer.append(audio=base64.b64encode(sound[start : start + 24_000]).decode())
        for event in connection:
            if event.type.endswith("transcription.delta"):
                deltas[event.item_id] = deltas.get(event.item_id, "") + event.delta
            elif event.type.endswith("transcription.completed"):
                texts[event.item_id] = event.transcript
                if len(texts) == 3:
                    break
    assert deltas == texts
    with client.realtime.connect(model="gpt-realtime") as connection:
        assert "intent=transcription" in connection.recv().error.message
