"""OpenAI's audio API, field by field, on a socket, with engines that answer at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sensory_pipeline.core.errors import Terminal
from sensory_pipeline.core.transcripts import Segment, Transcript, Word
from sensory_pipeline.engines.base import EngineInfo, TranscribeJob
from sensory_pipeline.engines.selection import Engines
from sensory_pipeline.gateway.keys import digest
from sensory_pipeline_tests import trivial_engines
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.gateway_server import Gateway, gateway
from sensory_pipeline_tests.trivial_engines import TrivialTranscriber, trivial

TRANSCRIPTIONS, TRANSLATIONS = "/v1/audio/transcriptions", "/v1/audio/translations"


class Echo(TrivialTranscriber):
    """Hears how it is asked."""

    def _answers(self, batch: list[TranscribeJob]) -> Iterator[tuple[str, Transcript | Terminal]]:
        for job in batch:
            asked = job.settings
            heard = (asked.language, asked.languages, asked.initial_prompt, asked.hotwords, asked.temperatures)
            text = json.dumps([*heard, asked.translate])
            word = Word(text=text, span=job.pcm.span, probability=1)
            segment = Segment(span=word.span, text=text, words=(word,))
            yield job.key, Transcript(language="en", segments=(segment,))


class English(TrivialTranscriber):
    """Knows English alone."""

    info = EngineInfo(engine="trivial", model="small.en", revision="1", algorithm=1, languages=frozenset({"en"}))


def echo() -> Engines:
    return replace(trivial(), transcriber=Echo())


def english() -> Engines:
    return replace(trivial(), transcriber=English())


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("openai") / "spool") as running:
        yield running


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tone(tmp_path_factory.mktemp("sound") / "a.wav", 1500)


def post(service: Gateway, path: Path, address: str = TRANSCRIPTIONS, /, **fields: Any) -> httpx2.Response:
    return service.http.post(address, files={"file": path.read_bytes()}, data={"model": "whisper-1"} | fields)


def test_every_format(service: Gateway, recording: Path) -> None:
    found = {
        name: post(service, recording, response_format=name)
        for name in ("json", "text", "srt", "vtt", "verbose_json", "diarized_json")
    }
    assert {answer.status_code for answer in found.values()} == {200}
    usage = {"type": "duration", "seconds": 2}
    assert found["json"].json() == {"text": "1500", "usage": usage}
    assert found["text"].text == "1500\n"
    assert found["srt"].text == "1\n00:00:00,000 --> 00:00:01,500\n1500\n"
    assert found["vtt"].text == "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n1500\n"
    verbose = found["verbose_json"].json()
    (segment,) = verbose.pop("segments")
    assert verbose == {"task": "transcribe", "language": "english", "duration": 1.5, "text": "1500", "usage": usage}
    assert {"id": 0, "seek": 0, "start": 0, "end": 1.5, "text": "1500", "tokens": []}.items() <= segment.items()
    assert segment["avg_logprob"] == pytest.approx(-0.6931)
    turn = {"type": "transcript.text.segment", "id": "seg_0", "start": 0.0, "end": 1.5, "text": "1500", "speaker": "A"}
    diarized = {"task": "transcribe", "duration": 1.5, "text": "1500", "segments": [turn], "usage": usage}
    assert found["diarized_json"].json() == diarized
    kinds = {name: answer.headers["content-type"].partition(";")[0] for name, answer in found.items()}
    assert kinds == {
        **dict.fromkeys(("json", "verbose_json", "diarized_json"), "application/json"),
        **dict.fromkeys(("text", "srt"), "text/plain"),
        "vtt": "text/vtt",
    }
    assert post(service, recording, response_format="").json() == found["json"].json()


@pytest.mark.parametrize("field", ["timestamp_granularities[]", "timestamp_granularities"])
def test_times_are_those_asked_for(service: Gateway, recording: Path, field: str) -> None:
    words = [{"word": "1500", "start": 0.0, "end": 1.5}]
    for asked, parts in ((["word"], {"words"}), (["word", "segment"], {"words", "segments"})):
        found = post(service, recording, response_format="verbose_json", **{field: asked}).json()
        assert found.keys() & {"words", "segments"} == parts
        assert found["words"] == words


@pytest.mark.parametrize("kind", ["json", "text", "diarized_json"])
def test_events(service: Gateway, recording: Path, kind: str) -> None:
    found = post(service, recording, stream="true", response_format=kind)
    assert found.headers["content-type"].startswith("text/event-stream")
    told = [json.loads(line.removeprefix("data: ")) for line in found.text.split("\n\n") if line]
    assert told[-1] == {
        "type": "transcript.text.done", "text": "1500", "usage": {"type": "duration", "seconds": 2}
    }  # fmt: skip
    if kind == "diarized_json":
        assert [(event["type"], event["speaker"]) for event in told[:-1]] == [("transcript.text.segment", "A")]
    else:
        assert told[:-1] == [{"type": "transcript.text.delta", "delta": "1500"}]


def test_options_reach_the_engine(tmp_path: Path, recording: Path) -> None:
    ladder = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    with gateway(tmp_path / "spool", engines=echo) as service:

        def heard(address: str = TRANSCRIPTIONS, /, **fields: Any) -> Any:
            return json.loads(post(service, recording, address, **fields).json()["text"])

        assert heard(temperature="0", prompt="") == ["auto", [], None, None, ladder, False]
        asked = {"language": "en", "prompt": "Dr. Wu", "temperature": "0.3", "keywords[]": ["Wu", "Li"]}
        assert heard(**asked) == ["en", [], "Dr. Wu", "Wu Li", [0.3], False]
        assert heard(**{"languages[]": ["en", "de"]}) == ["auto", ["en", "de"], None, None, ladder, False]
        assert heard(chunking_strategy="auto")[0] == heard(**{"chunking_strategy[type]": "server_vad"})[0] == "auto"
        assert heard(chunking_strategy='{"type": "server_vad"}')[0] == "auto"
        assert heard(TRANSLATIONS, prompt="Dr. Wu") == ["auto", [], "Dr. Wu", None, ladder, True]
        verbose = post(service, recording, TRANSLATIONS, response_format="verbose_json").json()
        assert verbose["task"] == "translate"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"language": "zz"}, "language"),
        ({"language": "en", "languages[]": ["de"]}, "languages"),
        ({"response_format": "xml"}, "response_format"),
        ({"temperature": "2"}, "temperature"),
        ({"temperature": "nan"}, "temperature"),
        ({"stream": "perhaps"}, "stream"),
        ({"stream": "true", "response_format": "srt"}, "stream"),
        ({"timestamp_granularities[]": ["word"]}, "timestamp_granularities"),
        ({"timestamp_granularities[]": ["letter"], "response_format": "verbose_json"}, "timestamp_granularities.0"),
        ({"chunking_strategy": "{"}, "chunking_strategy"),
        ({"chunking_strategy": "semantic"}, "chunking_strategy.type"),
        ({"chunking_strategy": '{"type": "server_vad", "threshold": 0.4}'}, "chunking_strategy.threshold"),
        ({"chunking_strategy[threshold]": "0.4"}, "chunking_strategy[threshold]"),
        ({"include[]": ["logprobs"]}, "include[]"),
        ({"known_speaker_names[]": ["Anna"]}, "known_speaker_names[]"),
        ({"known_speaker_references[]": ["data:audio/wav;base64,AA=="]}, "known_speaker_references[]"),
        ({"user": "me"}, "user"),
        ({"model": ""}, "model"),
        ({"prompt": b"\xff"}, "prompt"),
    ],
)
def test_unsupported_options_are_refused_by_name(
    service: Gateway, recording: Path, fields: dict[str, Any], param: str
) -> None:
    refused = post(service, recording, **fields)
    assert refused.status_code == 400
    told = refused.json()["error"]
    assert told.keys() == {"message", "type", "param", "code"}
    assert (told["type"], told["code"], told["param"]) == ("invalid_request_error", "option_refused", param)
    assert told["message"].startswith(f"{param}: ")


def test_errors_have_the_envelope(service: Gateway, recording: Path, tmp_path: Path) -> None:
    unknown = post(service, recording, model="gpt-9")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
    text = tmp_path / "text.wav"
    text.write_text("nothing that sounds " * 100)
    for found, status, code in (
        (post(service, text), 400, "unreadable_audio"),
        (service.http.post(TRANSCRIPTIONS, data={"model": "whisper-1"}), 400, "no_form"),
        (service.http.post(TRANSCRIPTIONS, files={"model": (None, "whisper-1")}), 400, "option_refused"),
        (service.http.get(TRANSCRIPTIONS), 405, "http"),
        (service.http.post("/v1/audio/speech"), 404, "http"),
        (post(service, recording, language="ru"), 400, "unsupported_language"),
    ):
        assert (found.status_code, found.json()["error"]["code"]) == (status, code)
        assert found.headers["x-request-id"]
    assert service.http.post("/v1/process").headers["content-type"] == "application/problem+json"


def test_keys_and_limits_are_those_of_the_service(tmp_path: Path, recording: Path) -> None:
    with gateway(tmp_path / "spool", api_keys=(f"anna={digest('secret')}",), max_upload_mb=0.01) as service:
        locked = post(service, recording)
        assert (locked.status_code, locked.json()["error"]["code"]) == (401, "invalid_api_key")
        service.http.headers["Authorization"] = "Bearer secret"
        assert service.http.get("/v1/models").status_code == 200
        large = post(service, recording)
        assert (large.status_code, large.json()["error"]["code"]) == (413, "upload_too_large")


def test_permanent_errors_are_marked_as_not_retryable(tmp_path: Path, recording: Path) -> None:
    with gateway(tmp_path / "spool", engines=trivial_engines.broken) as service:
        failed = post(service, recording)
        assert (failed.status_code, failed.headers["x-should-retry"]) == (500, "false")
        assert (failed.json()["error"]["type"], failed.json()["error"]["message"]) == (
            "server_error", "the device is lost",
        )  # fmt: skip
        assert post(service, recording, stream="true").status_code == 500
        assert not list((tmp_path / "spool" / "uploads").iterdir())


def test_models_are_those_of_the_settings(tmp_path: Path, recording: Path) -> None:
    names = ("whisper-1", "Systran/faster-whisper-small")
    with gateway(tmp_path / "spool", engines=english, openai_models=names) as service:
        listed = service.http.get("/v1/models").json()
        assert (listed["object"], [model["id"] for model in listed["data"]]) == ("list", list(names))
        assert service.http.get(f"/v1/models/{names[1]}").json() == listed["data"][1]
        missing = service.http.get("/v1/models/gpt-4o-transcribe")
        assert (missing.status_code, missing.json()["error"]["param"]) == (404, "model")
        assert post(service, recording, model=names[1]).json()["text"] == "1500"
        untranslated = post(service, recording, TRANSLATIONS)
        assert (untranslated.status_code, untranslated.json()["error"]["code"]) == (400, "no_translation")
        assert "small.en" in untranslated.json()["error"]["message"]
        refused = service.process(recording, {"settings": {"tra": {"task": "translate"}}})
        assert (refused.status_code, refused.json()["type"]) == (422, "urn:sensory:option-refused")
        assert [problem["field"] for problem in refused.json()["errors"]] == ["settings.tra.task"]
