"""The client of live speech, against the service on a real socket, also over connections that break."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sensory_pipeline.client import LiveMessage, ServiceError, StreamingClient
from sensory_pipeline.client.streaming import paced
from sensory_pipeline.gateway.keys import digest, new_key
from sensory_pipeline_tests.breaking_proxy import breaking
from sensory_pipeline_tests.gateway_server import Gateway, gateway
from sensory_pipeline_tests.kennedy import KENNEDY, wav
from sensory_pipeline_tests.live_server import last_word


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("spool"), engines=last_word) as running:
        running.wait_until_ready()
        yield running


def chunks(sound: bytes = KENNEDY, size: int = 9_600) -> Iterator[bytes]:
    for start in range(0, len(sound), size):
        yield sound[start : start + size]


def ends(found: list[LiveMessage]) -> list[float]:
    return [word.end for message in found for word in message.words]


def test_a_stream_of_chunks(service: Gateway) -> None:
    found = list(StreamingClient(service.url).stream(chunks(), tasks=["transcribe", "emotion"]))
    assert len(ends(found)) > 1
    assert all(message.text == " ".join(word.text for word in message.words) for message in found)
    emotions = [message.emotion for message in found if message.emotion]
    assert {emotion.label for emotion in emotions} == {"neutral"}
    assert not any(message.error for message in found)


def test_a_file(service: Gateway, tmp_path: Path) -> None:
    client = StreamingClient(service.url)
    found = list(client.stream_file(wav(tmp_path / "speech.wav"), real_time=False))
    assert ends(found) == pytest.approx(ends(list(client.stream(chunks()))), abs=0.1)
    with pytest.raises(ValueError, match="16000 Hz: convert it"):
        list(client.stream_file(wav(tmp_path / "other.wav", 44_100), real_time=False))
    with pytest.raises(ValueError, match="not 44100"):
        StreamingClient(service.url, rate=44_100)


def test_a_file_is_not_sent_faster_than_it_was_spoken() -> None:
    began = time.monotonic()
    assert b"".join(paced(chunks(KENNEDY[:9_600], 3_200), 16_000)) == KENNEDY[:9_600]
    assert time.monotonic() - began >= 0.3


def test_what_is_refused_is_raised(service: Gateway) -> None:
    with pytest.raises(ServiceError, match="best_of") as refused:
        list(StreamingClient(service.url).stream(chunks(), tra={"best_of": 3}))
    assert refused.value.status == 4400
    with pytest.raises(ServiceError, match="does not answer"):
        list(StreamingClient("http://127.0.0.1:9").stream(chunks()))


def test_an_error_of_the_microphone_is_raised(service: Gateway) -> None:
    def unplugged() -> Iterator[bytes]:
        yield KENNEDY[:32_000]
        raise RuntimeError("unplugged")

    with pytest.raises(RuntimeError, match="unplugged"):
        list(StreamingClient(service.url).stream(unplugged()))


def test_a_broken_connection_loses_nothing(service: Gateway) -> None:
    port = int(service.url.rpartition(":")[2])
    whole = ends(list(StreamingClient(service.url).stream(chunks())))
    with breaking(port, after_bytes=100_000, times=2) as proxy:
        found = list(StreamingClient(f"http://127.0.0.1:{proxy.port}").stream(chunks()))
    assert proxy.left == 0
    assert ends(found) == pytest.approx(whole, abs=1)
    numbers = [message["number"] for message in found if message.words]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_key_is_sent(tmp_path: Path) -> None:
    key = new_key()
    with gateway(tmp_path / "spool", engines=last_word, api_keys=(f"anna={digest(key)}",)) as locked:
        with pytest.raises(ServiceError, match="key") as refused:
            list(StreamingClient(locked.url).stream(chunks()))
        assert refused.value.status == 4401
        assert ends(list(StreamingClient(locked.url, key=key).stream(chunks())))
