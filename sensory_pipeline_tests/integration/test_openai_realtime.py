"""OpenAI's realtime API for transcription: its events, and clients that do not keep to them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from websockets.sync.client import ClientConnection, connect

from sensory_pipeline.gateway.keys import digest
from sensory_pipeline_tests.gateway_server import Gateway, gateway
from sensory_pipeline_tests.kennedy import KENNEDY, resample
from sensory_pipeline_tests.live_server import closing_of, last_word

SPEECH = resample(KENNEDY, 24_000)
SILENCE = bytes(2 * 24_000)
Event = dict[str, Any]
TRANSCRIPTION = "conversation.item.input_audio_transcription"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("realtime") / "spool", engines=last_word, live_sessions=2) as running:
        running.wait_until_ready()
        yield running


@contextmanager
def connected(service: Gateway, query: str = "?intent=transcription", **options: Any) -> Iterator[ClientConnection]:
    with connect(f"{service.url.replace('http', 'ws')}/v1/realtime{query}", proxy=None, **options) as client:
        yield client


def tell(client: ClientConnection, kind: str, **fields: Any) -> None:
    client.send(json.dumps({"type": kind, **fields}))


def heard(client: ClientConnection) -> Event:
    event: Event = json.loads(client.recv(timeout=20))
    assert event["event_id"].startswith("event_")
    return event


def until(client: ClientConnection, *kinds: str) -> list[Event]:
    """Up to one event of each kind, in this order."""
    found = []
    for kind in kinds:
        found.append(heard(client))
        while found[-1]["type"] != kind:
            found.append(heard(client))
    return found


def update(client: ClientConnection, **given: Any) -> Event:
    tell(client, "session.update", session={"type": "transcription", "audio": {"input": given}}, event_id="mine")
    return heard(client)


def append(client: ClientConnection, sound: bytes, piece: int = 48_001) -> None:
    for start in range(0, len(sound), piece):
        tell(client, "input_audio_buffer.append", audio=base64.b64encode(sound[start : start + piece]).decode())


def kinds(events: Sequence[Event]) -> list[str]:
    return [event["type"] for event in events]


def test_phrases_become_items(service: Gateway) -> None:
    with connected(service) as client:
        created = heard(client)
        assert (created["type"], created["session"]["type"]) == ("session.created", "transcription")
        set_ = update(
            client, transcription={"model": "whisper-1", "language": "en"}, turn_detection={"type": "server_vad"}
        )
        assert set_["type"] == "session.updated"
        assert set_["session"]["audio"]["input"] == {
            "format": {"type": "audio/pcm", "rate": 24000},
            "noise_reduction": None,
            "transcription": {"model": "whisper-1", "language": "en"},
            "turn_detection": {
                "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500
            },
        }  # fmt: skip
        append(client, SPEECH + SILENCE)
        events = until(client, *[f"{TRANSCRIPTION}.completed"] * 4)
    items: dict[str, list[Event]] = {}
    for event in events:
        items.setdefault(event.get("item_id") or event["item"]["id"], []).append(event)
    assert len(items) == 4  # Kennedy pauses
    before = None
    for name, told in items.items():
        deltas = [event["delta"] for event in told if event["type"] == f"{TRANSCRIPTION}.delta"]
        assert deltas
        assert [kind for kind in kinds(told) if not kind.endswith(".delta")] == [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            f"{TRANSCRIPTION}.completed",
        ]
        assert told[-1]["transcript"] == "".join(deltas)
        assert told[-3]["previous_item_id"] == told[-2]["previous_item_id"] == before
        start_ms, end_ms = told[0]["audio_start_ms"], told[-4]["audio_end_ms"]
        # of these engines: how many milliseconds they heard
        assert start_ms < int(told[-1]["transcript"].split()[-1]) <= end_ms + 500
        assert told[-1]["usage"] == {"type": "duration", "seconds": (end_ms - start_ms) / 1000}
        before = name


def test_the_client_can_commit_its_speech(service: Gateway) -> None:
    with connected(service) as client:
        heard(client)
        assert update(client, turn_detection=None)["session"]["audio"]["input"]["turn_detection"] is None
        found = []
        for _ in range(2):
            append(client, SPEECH)
            tell(client, "input_audio_buffer.commit")
            found.append(until(client, f"{TRANSCRIPTION}.completed"))
        append(client, SPEECH)
        tell(client, "input_audio_buffer.clear")
        cleared = until(client, "input_audio_buffer.cleared")
        assert f"{TRANSCRIPTION}.completed" not in kinds(cleared)
        append(client, SILENCE)
        tell(client, "input_audio_buffer.commit")
        silent = until(client, f"{TRANSCRIPTION}.completed")
    for told in found:
        deltas = [event["delta"] for event in told if event["type"] == f"{TRANSCRIPTION}.delta"]
        assert len(deltas) > 1
        assert told[-1]["transcript"] == "".join(deltas)
        assert {"input_audio_buffer.committed", "conversation.item.added"} <= set(kinds(told))
        assert "input_audio_buffer.speech_started" not in kinds(told)
    assert found[0][-1]["transcript"] == found[1][-1]["transcript"]
    previous = [
        next(event["previous_item_id"] for event in told if event["type"] == "input_audio_buffer.committed")
        for told in (*found, silent)
    ]
    assert previous == [None, found[0][-1]["item_id"], found[1][-1]["item_id"]]
    assert silent[-1]["transcript"] == ""


def test_a_commit_ends_a_phrase_in_progress(service: Gateway) -> None:
    with connected(service) as client:
        heard(client)
        append(client, SPEECH[: 2 * 24_000])
        tell(client, "input_audio_buffer.commit")
        (*_, first) = until(client, f"{TRANSCRIPTION}.completed")
        append(client, SILENCE)
        tell(client, "input_audio_buffer.commit")
        told = until(client, f"{TRANSCRIPTION}.completed")
    assert first["transcript"]
    assert kinds(told)[0] == "input_audio_buffer.committed"
    assert (told[0]["previous_item_id"], told[-1]["transcript"]) == (first["item_id"], "")


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"transcription": {"model": "gpt-9"}}, "model"),
        ({"transcription": {"language": "zz"}}, "session.audio.input.transcription.language"),
        ({"turn_detection": {"type": "semantic_vad"}}, "session.audio.input.turn_detection.type"),
        (
            {"turn_detection": {"type": "server_vad", "threshold": 0.7}},
            "session.audio.input.turn_detection.threshold",
        ),
        (
            {"turn_detection": {"type": "server_vad", "silence_duration_ms": 10}},
            "session.audio.input.turn_detection.silence_duration_ms",
        ),
        ({"noise_reduction": {"type": "near_field"}}, "session.audio.input.noise_reduction"),
        ({"format": {"type": "audio/pcm", "rate": 44100}}, "session.audio.input.format.rate"),
        ({"format": {"type": "audio/pcmu", "rate": 24000}}, "session.audio.input.format"),
        ({"voice": "alloy"}, "session.audio.input.voice"),
    ],
)
def test_unsupported_options_are_refused_by_name(service: Gateway, given: dict[str, Any], param: str) -> None:
    with connected(service) as client:
        heard(client)
        refused = update(client, **given)
        assert (refused["type"], refused["error"]["param"], refused["error"]["event_id"]) == ("error", param, "mine")
        assert update(client)["type"] == "session.updated"


def test_an_invalid_event_is_reported_and_the_connection_stays(service: Gateway) -> None:
    with connected(service) as client:
        heard(client)
        for sent in ("{", "[]", '"' + "[" * 100_000, "null", '{"type": "response.create"}', '{"type": []}', "{}"):
            client.send(sent)
            assert heard(client)["error"]["type"] == "invalid_request_error"
        for audio in (None, "?", 7, "AAA"):
            tell(client, "input_audio_buffer.append", audio=audio)
            assert heard(client)["error"]["param"] == "audio"
        for session in (None, 1, {"type": "realtime"}, {"include": ["item.input_audio_transcription.logprobs"]}):
            tell(client, "session.update", session=session)
            assert heard(client)["type"] == "error"
        tell(client, "input_audio_buffer.commit")
        assert heard(client)["error"]["code"] == "input_audio_buffer_commit_empty"
        update(client, turn_detection=None)
        append(client, SILENCE)
        assert update(client, turn_detection=None)["error"]["param"] == "session"


def test_the_earlier_api_is_supported(service: Gateway) -> None:
    headers = {"OpenAI-Beta": "realtime=v1"}
    with connected(service, additional_headers=headers, subprotocols=["realtime"]) as client:
        assert client.subprotocol == "realtime"
        assert heard(client)["type"] == "transcription_session.created"
        session = {
            "input_audio_format": "pcm16",
            "input_audio_transcription": {"model": "whisper-1", "prompt": "", "language": "en"},
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 400},
            "input_audio_noise_reduction": None,
        }
        tell(client, "transcription_session.update", session=session)
        updated = heard(client)
        assert updated["type"] == "transcription_session.updated"
        assert updated["session"]["input_audio_format"] == "pcm16"
        assert updated["session"]["turn_detection"]["silence_duration_ms"] == 400
        append(client, SPEECH + SILENCE)
        assert "conversation.item.created" in kinds(until(client, f"{TRANSCRIPTION}.completed"))
        tell(client, "transcription_session.update", session={"modalities": ["text"]})
        assert until(client, "error")[-1]["error"]["param"] == "session.modalities"


@pytest.mark.parametrize(("kind", "codec"), [("audio/pcmu", "pcm_mulaw"), ("audio/pcma", "pcm_alaw")])
def test_telephone_formats_are_decoded(service: Gateway, kind: str, codec: str) -> None:
    sound = encoded(np.frombuffer(resample(KENNEDY, 8_000), np.int16), codec)
    with connected(service) as client:
        heard(client)
        assert update(client, format={"type": kind})["session"]["audio"]["input"]["format"] == {"type": kind}
        append(client, sound + encoded(np.zeros(8_000, np.int16), codec))
        told = until(client, *["input_audio_buffer.speech_stopped"] * 4)
    assert told[-1]["audio_end_ms"] == pytest.approx(10_800, abs=400)


def encoded(samples: Any, codec: str) -> bytes:
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = 8_000, av.AudioLayout("mono"), av.AudioFormat("s16")
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="s16", layout="mono")
    frame.sample_rate = 8_000
    return b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None)))


def test_connections_are_refused_with_a_reason(service: Gateway) -> None:
    with connected(service, "?model=gpt-realtime") as client:
        code, reason, told = closing_of(client)
    assert (code, kinds(told)) == (4400, ["error"])
    assert "intent=transcription" in reason
    with connected(service) as client:
        client.send(b"\0\0")
        assert closing_of(client)[0] == 1003
    with connected(service) as first, connected(service) as second, connected(service) as third:
        for client in (first, second):
            append(client, SILENCE)
            tell(client, "what is taken in after it")
            until(client, "error")
        append(third, SILENCE)
        assert closed_with(third) == 1013


def closed_with(client: ClientConnection) -> int:
    return closing_of(client)[0]


def test_an_event_that_is_too_large_ends_the_connection_with_the_reason(service: Gateway) -> None:
    with connected(service) as client:
        heard(client)
        append(client, bytes(1 << 20), piece=1 << 20)
        code, reason, _ = closing_of(client)
    assert (code, reason) == (1009, f"a frame has at most {1 << 20} bytes")


def test_a_key_is_needed_here_too(tmp_path: Path) -> None:
    with gateway(tmp_path / "spool", api_keys=(f"anna={digest('secret')}",)) as locked:
        with connected(locked) as client:
            assert closed_with(client) == 4401
        with connected(locked, additional_headers={"Authorization": "Bearer secret"}) as client:
            assert heard(client)["type"] == "session.created"
        with connected(locked, subprotocols=["realtime", "openai-insecure-api-key.secret"]) as client:
            assert heard(client)["type"] == "session.created"
