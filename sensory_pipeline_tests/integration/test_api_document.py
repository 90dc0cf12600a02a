"""The service follows its own OpenAPI document for every request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.gateway_server import Gateway, gateway

schemathesis: Any = pytest.importorskip(
    "schemathesis", reason="schemathesis is not installed: pip install schemathesis"
)
checks: Any = pytest.importorskip("schemathesis.specs.openapi.checks")
EXPECTED = (
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
)
UPLOADS = {"/v1/process", "/v1/audio/transcriptions", "/v1/audio/translations"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("document") / "spool") as running:
        running.wait_until_ready()
        yield running


def settings_of_a_request() -> st.SearchStrategy[str]:
    """As JSON; most of them are valid."""
    tasks = st.lists(st.sampled_from(["transcribe", "diarization", "emotion"]), min_size=1, max_size=3)
    tra = {
        "language": st.sampled_from(["auto", "en", "zz"]),
        "beam_size": st.integers(0, 11),
        "temperature": st.floats(-0.1, 1.1) | st.lists(st.sampled_from([0, 0.5, 1]), max_size=2),
        "word_timestamps": st.booleans(),
        "hotwords": st.text(max_size=5) | st.none(),
        "best_of": st.sampled_from([1, 10]),
    }
    parts = {
        "tra": st.fixed_dictionaries({}, optional=tra),
        "dia": st.fixed_dictionaries({}, optional={"stereo_mode": st.booleans()}),
        "emo": st.fixed_dictionaries({}, optional={"analysis_level": st.sampled_from(["word", "file", "speaker"])}),
    }
    wanted = st.fixed_dictionaries(
        {"settings": st.fixed_dictionaries({"tasks": tasks}, optional=parts)},
        optional={"format_output": st.sampled_from(["json", "text"]), "async_process": st.booleans()},
    )
    return wanted.map(json.dumps) | st.text(max_size=20)


def cases(service: Gateway, recording: bytes) -> st.SearchStrategy[Any]:
    """Requests that the document allows, and ones that it does not, for every address.

    Where the document says only that there is text, many requests have text that gets them further.
    """
    document = service.http.get("/openapi.json").json()
    for address in UPLOADS:
        body = document["paths"][address]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
        for name, kind in (("model", "model"), ("request_json", "settings"), ("language", "code")):
            if name in body["properties"]:
                body["properties"][name] = {"type": "string", "format": kind}
    for kind, values in (
        ("binary", st.just(recording) | st.binary(max_size=200)),
        ("settings", settings_of_a_request()),
        ("model", st.just("whisper-1") | st.text(max_size=9)),
        ("code", st.sampled_from(["en", "de", "English"])),
    ):
        schemathesis.openapi.format(kind, values)
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=service.url)
    modes = schemathesis.GenerationMode
    return st.one_of(
        [
            operation.ok().as_strategy(generation_mode=mode)
            for operation in schema.get_all_operations()
            for mode in (modes.POSITIVE, modes.NEGATIVE)
        ]
    )


def test_no_answer_is_a_surprise(service: Gateway, tmp_path: Path, soak: bool) -> None:
    statuses: dict[str, set[int]] = {}

    @settings(
        max_examples=5_000 if soak else 100,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(case=cases(service, tone(tmp_path / "a.wav", 300).read_bytes()))
    def answers(case: Any) -> None:
        response = case.call()
        statuses.setdefault(case.path, set()).add(response.status_code)
        case.validate_response(response, checks=EXPECTED)

    answers()
    found = set().union(*statuses.values())
    assert {200, 404} <= found
    assert not soak or all(200 in statuses[address] and max(statuses[address]) >= 400 for address in UPLOADS)
