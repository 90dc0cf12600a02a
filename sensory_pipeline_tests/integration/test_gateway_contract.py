"""The contract of the service that this one replaces, field by field, on a socket, with engines that answer at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sensory_pipeline.core.process_request import EmotionLevel, ProcessRequest, Task
from sensory_pipeline.gateway.problems import Problem
from sensory_pipeline.gateway.request_json import RequestJson, TranscriptionOptions
from sensory_pipeline_tests.audio_files import tone, tones
from sensory_pipeline_tests.gateway_server import Gateway, gateway

ALL = ["transcribe", "diarization", "emotion"]
DEFAULTS: dict[str, Any] = {
    "language": "auto",
    "language_detection_threshold": 0.5,
    "language_detection_segments": 1,
    "beam_size": 5,
    "no_speech_threshold": 0.6,
    "word_timestamps": True,
    "vad_filter": False,
    "batch_size": 16,
    "task": "transcribe",
    "initial_prompt": None,
    "log_progress": False,
    "best_of": 10,
    "patience": 1.0,
    "length_penalty": 1.0,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "temperature": [0, 0.2, 0.4, 0.6, 0.8, 1],
    "compression_ratio_threshold": 2.4,
    "log_prob_threshold": -1.0,
    "condition_on_previous_text": True,
    "prompt_reset_on_temperature": 0.5,
    "prefix": None,
    "suppress_blank": True,
    "suppress_tokens": [-1],
    "without_timestamps": False,
    "max_initial_timestamp": 1.0,
    "prepend_punctuations": "\"'“¿([{-",
    "append_punctuations": "\"'.。,，!！?？:：”)]}、",
    "multilingual": False,
    "vad_parameters": None,
    "max_new_tokens": None,
    "chunk_length": None,
    "clip_timestamps": "0",
    "hallucination_silence_threshold": None,
    "hotwords": None,
}
"""Every option of `tra`, with what the old service's client sends."""

OTHERS: dict[str, Any] = {
    "language": "de",
    "language_detection_threshold": 0.3,
    "language_detection_segments": 4,
    "beam_size": 1,
    "no_speech_threshold": 0.5,
    "task": "translate",
    "initial_prompt": "Sehr geehrte",
    "best_of": 2,
    "patience": 2.0,
    "length_penalty": 0.5,
    "repetition_penalty": 1.2,
    "no_repeat_ngram_size": 3,
    "temperature": 0.4,
    "compression_ratio_threshold": 2.0,
    "log_prob_threshold": -0.5,
    "prompt_reset_on_temperature": 0.2,
    "prefix": "So",
    "suppress_blank": False,
    "suppress_tokens": [],
    "without_timestamps": True,
    "max_initial_timestamp": 2.0,
    "prepend_punctuations": "",
    "append_punctuations": "",
    "multilingual": True,
    "vad_parameters": {"threshold": 0.3},
    "max_new_tokens": 20,
    "chunk_length": 20,
    "clip_timestamps": [1.0, 2.0],
    "hallucination_silence_threshold": 2.0,
    "hotwords": "Gondel",
}
"""Another value of each, but those of which any gives the same (next)."""

APPLIED = frozenset(
    {"language", "language_detection_threshold", "beam_size", "no_speech_threshold", "task", "initial_prompt"}
    | {"temperature", "compression_ratio_threshold", "log_prob_threshold", "multilingual", "chunk_length"}
    | {"hallucination_silence_threshold", "hotwords"}
)

WITHOUT_EFFECT: dict[str, Any] = {"vad_filter": True, "batch_size": 4, "condition_on_previous_text": False}
"""Silence is never decoded, no batch changes a text, and no clip sees the text before it."""

OF_THE_ANSWER: dict[str, Any] = {"word_timestamps": False, "log_progress": True}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("service") / "spool") as running:
        yield running


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tone(tmp_path_factory.mktemp("recording") / "speech.wav", 1500)


def request(tra: dict[str, Any]) -> ProcessRequest:
    asked = RequestJson.read(json.dumps({"settings": {"tra": tra}}).encode())
    return asked.request(ProcessRequest())


def test_no_option_of_the_transcriber_is_missing() -> None:
    assert set(DEFAULTS) == set(TranscriptionOptions.model_fields)
    assert set(DEFAULTS) == {*OTHERS, *WITHOUT_EFFECT, *OF_THE_ANSWER}
    for name, value in DEFAULTS.items():
        assert TranscriptionOptions.model_fields[name].default == value, name


def test_sending_all_defaults_equals_sending_nothing() -> None:
    assert request(DEFAULTS) == request({})


@pytest.mark.parametrize("name", OTHERS)
def test_an_option_is_applied_or_refused_by_name(name: str) -> None:
    if name in APPLIED:
        assert request({name: OTHERS[name]}).tra != request({}).tra
        return
    with pytest.raises(Problem) as refused:
        request({name: OTHERS[name]})
    assert refused.value.status == 422
    assert list(refused.value.fields) == [f"settings.tra.{name}"]


def test_options_without_effect_are_accepted() -> None:
    for name, value in WITHOUT_EFFECT.items():
        assert request({name: value}) == request({}), name


def test_missing_options_take_the_installations_settings() -> None:
    default = ProcessRequest.model_validate({"tra": {"languages": "de,en", "beam_size": 2}, "stereo": True})
    assert RequestJson.read(b'{"settings": {}}').request(default).tra == default.tra
    given = RequestJson.read(b'{"settings": {"tra": {"language": "ru"}, "dia": {"stereo_mode": false}}}')
    assert given.request(default).tra.asked_languages == {"ru"}
    assert given.request(default).tra.beam_size == 2
    assert not given.request(default).stereo


@pytest.mark.parametrize(
    ("tasks", "asked", "judged"),
    [
        (ALL, None, "word"),
        (ALL, "speaker", "speaker"),
        (["transcribe", "emotion"], "speaker", "word"),
        (["emotion"], "speaker", "file"),
        (["diarization", "emotion"], "speaker", "speaker"),
        (["emotion"], "word", "file"),
        (["diarization", "emotion"], "sentence", "file"),
        (["transcribe", "emotion"], "sentence", "sentence"),
        (ALL, "file", "file"),
    ],
)
def test_levels_of_emotion_fall_back(tasks: list[str], asked: str | None, judged: str) -> None:
    emo = {} if asked is None else {"analysis_level": asked}
    wanted = RequestJson.read(json.dumps({"settings": {"tasks": tasks, "emo": emo}}).encode()).request(ProcessRequest())
    assert wanted.emo.level == EmotionLevel(judged)
    assert wanted.tasks == {Task(task) for task in tasks}


def test_the_answer_has_all_parts(service: Gateway, recording: Path) -> None:
    answer = service.process(recording, {"settings": {"tasks": ALL, "dia": {}}})
    assert answer.status_code == 200
    body = answer.json()
    assert {name: body[name] for name in ("status", "job_id", "error")} == {
        "status": "completed",
        "job_id": None,
        "error": None,
    }
    tra, dia, emo = (body["result"][part] for part in ("tra", "dia", "emo"))
    assert tra["text"] == "1500"
    assert tra["chunks"] == [
        {
            "alternatives": [{"words": [{"start": 0.0, "end": 1.5, "word": " 1500", "confidence": 0.5}]}],
            "channelTag": "1",
        }
    ]
    assert dia["turns"] == [{"start": 0.0, "end": 1.5, "speaker": "SPEAKER_00"}]
    scores = {"angry": 0.1, "sad": 0.1, "neutral": 0.7, "positive": 0.1}
    assert emo["segments"] == [{"start": 0.0, "end": 1.5, "emotional": scores, "word": "1500", "confidence": 0.5}]
    assert emo["engine"] == "trivial"


def test_a_part_that_was_not_requested_is_null_or_absent(service: Gateway, recording: Path) -> None:
    wanted: dict[str, Any] = {"settings": {"tasks": ["transcribe"]}}
    result = service.process(recording, wanted).json()["result"]
    assert (result["dia"], result["emo"]) == (None, None)
    text = service.process(recording, wanted | {"format_output": "text"}).json()["result"]
    assert text == {"tra": {"start": 0.0, "end": 1.5, "text": "1500"}}


def test_speakers_are_classified_turn_by_turn(service: Gateway, recording: Path) -> None:
    emo = {"analysis_level": "speaker"}
    result = service.process(recording, {"settings": {"tasks": ALL, "emo": emo}}).json()["result"]
    (segment,) = result["emo"]["segments"]
    assert {**result["dia"]["turns"][0], "emotional": segment["emotional"]} == segment


def test_words_can_be_left_out(service: Gateway, recording: Path) -> None:
    tra = service.process(recording, {"settings": {"tra": {"word_timestamps": False}}}).json()["result"]["tra"]
    assert tra["text"] == "1500"
    assert tra["chunks"][0]["alternatives"][0]["words"] == tra["segments"][0]["words"] == []


def test_stereo_speakers_are_named_by_their_sides(service: Gateway, tmp_path: Path) -> None:
    call = tones(tmp_path / "call.wav", 1200, (3000, 2000))
    wanted = {"settings": {"tasks": ALL, "dia": {"stereo_mode": True}, "emo": {"analysis_level": "sentence"}}}
    result = service.process(call, wanted).json()["result"]
    assert [chunk["channelTag"] for chunk in result["tra"]["chunks"]] == ["1", "2"]
    speakers = [word["speaker"] for segment in result["tra"]["segments"] for word in segment["words"]]
    assert speakers == ["L0", "R0"]
    assert {turn["speaker"] for turn in result["dia"]["turns"]} <= {"L0", "R0"}
    assert [segment["speaker"] for segment in result["emo"]["segments"]] == ["L0", "R0"]


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("{", "request_json"),
        ({"settings": {"tasks": []}}, "request_json.settings.tasks"),
        ({"settings": {"tasks": ["sing"]}}, "request_json.settings.tasks.0"),
        ({"settings": {"tra": {"temprature": 1}}}, "request_json.settings.tra.temprature"),
        ({"settings": {"tra": {"beam_size": 11}}}, "request_json.settings.tra.beam_size"),
        ({"settings": {"tra": {"language": "zz"}}}, "settings.tra.language"),
        ({"settings": {"emo": {"model_name": "other"}}}, "request_json.settings.emo.model_name"),
        ({"settings": {}, "format_output": "xml"}, "request_json.format_output"),
    ],
)
def test_errors_of_a_request_are_listed_by_field(
    service: Gateway, recording: Path, wanted: dict[str, Any] | str, told: str
) -> None:
    answer = service.process(recording, wanted)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert told in [problem["field"] for problem in answer.json()["errors"]]


def test_uploads_that_are_not_recordings(service: Gateway, tmp_path: Path) -> None:
    wanted: dict[str, Any] = {"settings": {}}
    empty, text = tmp_path / "empty.wav", tmp_path / "text.wav"
    empty.write_bytes(b"")
    text.write_text("Dear diary, today nothing was said. " * 20)
    assert service.process(empty, wanted).status_code == 400
    answer = service.process(text, wanted)
    assert (answer.status_code, answer.json()["type"]) == (415, "urn:sensory:unreadable-audio")
    assert "convert it to wav" in answer.json()["detail"]


def test_a_refusal_of_an_engine_is_reported(service: Gateway, recording: Path) -> None:
    answer = service.process(recording, {"settings": {"tra": {"language": "ru"}}})
    assert (answer.status_code, answer.json()["detail"]) == (422, "trivial speaks no ru")


def test_the_form_needs_both_fields_and_no_other(service: Gateway, recording: Path) -> None:
    sound = {"audio": recording.read_bytes()}
    asked = {"request_json": '{"settings": {}}'}
    post = service.http.post
    assert "request_json" in post("/v1/process", files=sound).json()["detail"]
    assert "audio" in post("/v1/process", files={"request_json": (None, asked["request_json"])}).json()["detail"]
    assert "lang" in post("/v1/process", files=sound, data={**asked, "lang": "en"}).json()["detail"]
    assert post("/v1/process", content=b"{}").status_code == 415
    broken = post("/v1/process", content=b"--x\r\n", headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert broken.status_code == 400
    assert service.http.get("/v1/jobs/unknown").status_code == 404


def test_an_engine_that_fails_is_a_500_with_a_detail(tmp_path: Path) -> None:
    from sensory_pipeline_tests import trivial_engines

    with gateway(tmp_path / "spool", engines=trivial_engines.broken) as service:
        answer = service.process(tone(tmp_path / "a.wav", 300), {"settings": {}})
        assert (answer.status_code, answer.json()["detail"]) == (500, "the device is lost")
        assert service.http.get("/health/ready").status_code == 503
        assert service.http.get("/health/live").status_code == 200
